package lab

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// lasting are the cases of connections that will not die.
var lasting = []Scenario{
	{
		Name: "close-wait-leak", Port: 7761, act: closeWaitLeak,
		About: "the server has closed, the client never does",
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.CloseWait, Server: tcp.FinWait2},
		},
		Verdicts: Verdicts{
			Client: said("close-wait-leak", InApplication),
			Server: said("fin-wait2-stuck", InApplication),
			Both:   then(said("close-wait-leak", InApplication), perhaps("fin-wait2-stuck", InApplication)),
			Held:   true,
		},
	},
	{
		Name: "fin-wait2-stuck", Port: 7762, act: finWait2Stuck,
		About: "the client has closed, the server never does",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.FinWait2, Server: tcp.CloseWait},
		},
		Verdicts: Verdicts{
			Client: said("fin-wait2-stuck", InApplication),
			Server: said("close-wait-leak", InApplication),
			Both:   then(said("close-wait-leak", InApplication), perhaps("fin-wait2-stuck", InApplication)),
			Held:   true,
		},
	},
	{
		Name: "fin-unanswered", Port: 7763, Topology: Routed, act: finWait1Unanswered,
		About: "the way is cut: a FIN is never acknowledged",
		Story: Story{
			Client: clientOpens.then(tcp.FinWait1, tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
			ClientErrno: unix.ETIMEDOUT,
			Standing:    Standing{Client: tcp.FinWait1, Server: tcp.Established},
		}.wire(talked+" >F. (>F.)+ (>R.)?", talked),
		Verdicts: atClient(then(said("fin-wait1-unanswered", OnTheWay),
			perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay))),
		Proof: []Count{{Client, "TcpExt", "TCPTimeouts", 4}},
	},
	{
		Name: "last-unanswered", Port: 7764, Topology: Routed, act: lastAckUnanswered,
		About: "the way is cut: the last FIN is never acked",
		Story: Story{
			Client: clientOpens.then(tcp.CloseWait, tcp.LastAck, tcp.Close), Server: serverOpens.then(closesFirst...),
			Listener: true, ClientErrno: unix.ETIMEDOUT,
			Standing: Standing{Client: tcp.LastAck, Server: tcp.FinWait2},
		}.wire(talked+" <F. >. >F. (>F.)+ (>R.)?", talked+" <F. >."),
		Verdicts: Verdicts{
			Client: then(said("last-ack-unanswered", OnTheWay),
				perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
			Server: perhaps("fin-wait2-stuck", InApplication), // all that it can see
			Both: then(said("last-ack-unanswered", OnTheWay), perhaps("retransmit-timeout", OnTheWay),
				perhaps("loss-timeouts", OnTheWay), perhaps("fin-wait2-stuck", InApplication)),
		},
		Proof: []Count{{Client, "TcpExt", "TCPTimeouts", 4}},
	},
	{
		Name: "time-wait-pile", Port: 7765, act: timeWaitPile,
		About:    fmt.Sprintf("%d in TIME_WAIT use the client's ports up", pile),
		Verdicts: atClient(counted("time-wait-pile", InApplication, "connections", pile)).held(), // so long that the port range can be read
		Proof:    []Count{{Client, "Tcp", "ActiveOpens", pile}},
	},
}

func closeWaitLeak(r *run) {
	r.establish()
	r.exchange()
	r.shutdown(r.serverPeer)
	r.stand()
	r.close(r.clientPeer)
	r.await(r.server, tcp.TimeWait)
}

func finWait2Stuck(r *run) {
	r.establish()
	r.exchange()
	r.shutdown(r.clientPeer)
	r.stand()
	r.close(r.serverPeer)
}

// fewOrphanRetries has the client's kernel give up a FIN after its fourth time-out,
// some 6 s.
func (r *run) fewOrphanRetries() { r.sysctl(r.client, "net.ipv4.tcp_orphan_retries", "4") }

func finWait1Unanswered(r *run) {
	r.fewOrphanRetries()
	r.establish()
	r.exchange()
	r.cuts()
	r.close(r.clientPeer)
	r.stand()
	r.await(r.client, tcp.StateUnknown)
	r.vanish(r.serverPeer)
}

func lastAckUnanswered(r *run) {
	r.fewOrphanRetries()
	r.sysctl(r.server, "net.ipv4.tcp_fin_timeout", "2")
	r.establish()
	r.exchange()
	r.close(r.serverPeer)
	r.await(r.client, tcp.CloseWait)
	r.await(r.server, tcp.FinWait2)
	r.cuts()
	r.close(r.clientPeer)
	r.stand()
	r.await(r.client, tcp.StateUnknown)
}

// pile is how many connections the client makes and closes, of the ports that it
// may take: three in four.
const (
	pile      = 1500
	pilePorts = "40000 41999"
)

func timeWaitPile(r *run) {
	r.sysctl(r.client, "net.ipv4.ip_local_port_range", pilePorts)
	r.tell("the client makes %d connections and closes each first", pile)
	r.try(func() error {
		_, err := Load(r.ctx, r.client, LoadOptions{
			Conns: pile, Bytes: requestSize, Family: r.family, Server: r.server, Port: r.scenario.Port, OneSource: true,
		})
		return err
	})
	r.poll("the pile to stand", func() (bool, error) {
		socks, err := r.client.Sockets(r.family)
		n := 0
		for _, s := range socks {
			if s.State == tcp.TimeWait && s.Flow.Remote.Port() == r.scenario.Port {
				n++
			}
		}
		return n == pile, err
	})
	r.hold(Standing{Client: tcp.TimeWait})
}
