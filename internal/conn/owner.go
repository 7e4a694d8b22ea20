package conn

import "tcpstory/internal/tcp"

// learnProcess keeps whose socket it is. Whoever acts on it is its user from then
// on; who merely holds it open is so only while nobody has acted.
func (c *Conn) learnProcess(ev *tcp.Event) {
	if ev.Cgroup != 0 {
		c.Cgroup = ev.Cgroup
	}
	if !ev.Task.Known() || ev.Via == tcp.ViaHeld && c.Task.Known() {
		return
	}
	c.Task, c.Via = ev.Task, ev.Via
	if !c.Opener.Known() {
		c.Opener = ev.Task
	}
}
