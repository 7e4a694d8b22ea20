package lab

import (
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// breaking are the cases of an established connection that dies.
var breaking = []Scenario{
	{
		Name: "retransmit-timeout", Port: 7753, Topology: Routed, act: cutOff,
		About:    "the way is cut: retransmissions, and the end",
		Story:    cutOffStory().wire(talked+" >P. (>P.)+", talked),
		Verdicts: atClient(then(said("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay))),
		Proof:    []Count{{Client, "TcpExt", "TCPTimeouts", 2}, {Client, "TcpExt", "TCPAbortOnTimeout", 1}},
	},
	{
		Name: "output-dropped", Port: 7754, act: outputDropped,
		About:    "the client's own firewall cuts it off",
		Story:    cutOffStory().wire(talked, talked),
		Verdicts: atClient(said("retransmit-timeout", BeforeTheWire)),
		Proof:    []Count{{Client, "TcpExt", "TCPAbortOnTimeout", 1}},
	},
	{
		Name: "user-timeout", Port: 7755, Topology: Routed, act: userTimeout,
		About:    "the way is cut: TCP_USER_TIMEOUT ends it",
		Story:    cutOffStory().wire(talked+" >P. (>P.)+", talked),
		Verdicts: atClient(then(said("user-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay))),
		Proof:    []Count{{Client, "TcpExt", "TCPAbortOnTimeout", 1}},
	},
	{
		Name: "keepalive-lost", Port: 7756, Topology: Routed, act: keepaliveLost,
		About:    "the way is cut: keepalive gives up",
		Story:    cutOffStory().wire(talked+" (>.)+ >R.", talked),
		Verdicts: atClient(said("keepalive-death", OnTheWay)),
		Proof:    []Count{{Client, "TcpExt", "TCPKeepAlive", 1}},
	},
	{
		Name: "rst-mid-stream", Port: 7757, act: resetMidStream,
		About: "the server aborts in the middle of an answer",
		Story: resetStory(),
		Verdicts: Verdicts{
			Client: said("rst-by-peer", InApplication),
			Server: said("rst-linger", InApplication),
			Both:   said("rst-linger", InApplication),
		},
		Proof: []Count{{Client, "Tcp", "EstabResets", 1}, {Server, "TcpExt", "TCPAbortOnData", 1}},
	},
	{
		Name: "answer-cut", Port: 7774, act: answerCut,
		About: "the server aborts a slow answer in its middle",
		Story: resetStory(),
		Verdicts: Verdicts{ // as its pauses say: that it is not whole nobody can see
			Client: probably("rst-by-peer", InApplication),
			Server: probably("rst-linger", InApplication),
			Both:   probably("rst-linger", InApplication),
		},
		Proof: []Count{{Client, "Tcp", "EstabResets", 1}, {Server, "TcpExt", "TCPAbortOnData", 1}},
	},
	{
		Name: "half-closed-reset", Port: 7775, act: halfClosedReset,
		About: "reset when it has asked, and closed its half",
		Story: Story{
			Client: clientOpens.then(tcp.FinWait1, tcp.FinWait2, tcp.Close), Server: serverOpens.then(tcp.CloseWait, tcp.Close), Listener: true,
			ClientErrno: unix.ECONNRESET,
			Standing:    Standing{Client: tcp.FinWait2, Server: tcp.CloseWait},
		},
		Verdicts: Verdicts{
			Client: said("rst-by-peer", InApplication),
			Server: said("rst-linger", InApplication),
			Both:   said("rst-linger", InApplication),
		},
	},
	{
		Name: "rst-no-socket", Port: 7758, act: resetNoSocket,
		About: "the server's host has forgotten it",
		Story: resetStory().wire(talked+" >P. <R", talked+" >P. <R"),
		Verdicts: Verdicts{
			Client: said("rst-by-peer", InApplication),
			Server: said("rst-no-socket", AfterTheWire),
			Both:   said("rst-no-socket", AfterTheWire),
		},
		Proof: []Count{{Client, "Tcp", "EstabResets", 1}, {Server, "Tcp", "OutRsts", 1}},
	},
	{
		Name: "middlebox-reset", Port: 7759, Topology: Routed, act: middleboxForgot(RejectReset, unix.ECONNRESET),
		About: "a middlebox forgets an idle flow: it resets",
		Story: resetStory().wire(talked+" >P. <R", talked),
		Verdicts: Verdicts{
			Client: probably("rst-by-peer", OnTheWay), // another hop limit than the peer's packets
			Both:   said("middlebox-forgot", OnTheWay),
		},
		Proof: []Count{{Client, "Tcp", "EstabResets", 1}},
	},
	{
		Name: "middlebox-silent", Port: 7760, Topology: Routed, act: middleboxForgot(Drop, unix.ETIMEDOUT),
		About: "a middlebox forgets an idle flow: it drops",
		Story: cutOffStory().wire(talked+" >P. (>P.)+", talked),
		Verdicts: Verdicts{
			Client: then(said("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
			Both: then(probably("middlebox-forgot", OnTheWay), // or the way was cut at that time
				perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
		},
		Proof: []Count{{Client, "TcpExt", "TCPAbortOnTimeout", 1}},
	},
}

// cutOffStory is the client's connection timing out, of which the server's end
// learns nothing.
func cutOffStory() Story {
	return Story{
		Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
		ClientErrno: unix.ETIMEDOUT,
		Standing:    Standing{Client: tcp.Established, Server: tcp.Established},
	}
}

// resetStory is the client's connection ended by a reset.
func resetStory() Story {
	s := cutOffStory()
	s.ClientErrno = unix.ECONNRESET
	return s
}

// fewRetries has the client give up after its second time-out, some 1.4 s.
func (r *run) fewRetries() { r.sysctl(r.client, "net.ipv4.tcp_retries2", "2") }

// perishes has the client send into the void until its socket fails.
func (r *run) perishes() {
	r.send(r.clientPeer, requestSize)
	r.stand()
	r.errs(r.clientPeer, unix.ETIMEDOUT)
	r.vanish(r.serverPeer)
}

func cutOff(r *run) {
	r.fewRetries()
	r.establish()
	r.exchange()
	r.cuts()
	r.perishes()
}

func outputDropped(r *run) {
	r.fewRetries()
	r.establish()
	r.exchange()
	r.breaks("the client's own firewall drops what goes to the port", r.client,
		Rule{Hook: Output, ToPort: r.scenario.Port})
	r.perishes()
}

// userTimeoutOption, milliseconds.
var userTimeoutOption = Option{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 900}

func userTimeout(r *run) {
	r.establish()
	r.exchange()
	r.options(r.clientPeer, userTimeoutOption)
	r.cuts()
	r.perishes()
}

func keepaliveLost(r *run) {
	r.establish()
	r.exchange()
	r.cuts()
	r.options(r.clientPeer, keepalive...)
	r.stand()
	r.errs(r.clientPeer, unix.ETIMEDOUT)
	r.vanish(r.serverPeer)
}

func resetMidStream(r *run) {
	r.establish()
	r.exchange()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.stand()
	r.abort(r.serverPeer)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

// answerPause is how long the server pauses within an answer: longer than a connection on
// which all was answered has to be at rest before a RST is no trouble.
const answerPause = 1200 * time.Millisecond

func answerCut(r *run) {
	r.establish()
	r.exchange()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	for range 2 {
		r.delivers(r.serverPeer, r.clientPeer, responseSize)
		r.passes(answerPause)
	}
	r.stand()
	r.abort(r.serverPeer)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

func halfClosedReset(r *run) {
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.shutdown(r.clientPeer)
	r.stand()
	r.abort(r.serverPeer)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

func resetNoSocket(r *run) {
	r.establish()
	r.exchange()
	r.stand()
	r.vanish(r.serverPeer)
	r.send(r.clientPeer, requestSize)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

// forgets is how long a flow must be idle for the router's connection tracking to
// forget it, and how long it is, with the kernel's rounding.
const (
	forgets   = "1" // seconds
	idleWhile = 1500 * time.Millisecond
)

// middleboxForgot has the router's connection tracking forget an idle flow, and do
// something to what comes of it afterwards.
func middleboxForgot(action Action, want unix.Errno) func(*run) {
	return func(r *run) {
		r.fewRetries()
		r.breaks("the router drops or resets what its connection tracking does not know", r.router(),
			Rule{Hook: Forward, ToPort: r.scenario.Port, Unknown: true, Action: action})
		r.sysctl(r.router(), "net.netfilter.nf_conntrack_tcp_loose", "0")
		r.sysctl(r.router(), "net.netfilter.nf_conntrack_tcp_timeout_established", forgets)
		r.establish()
		r.exchange()
		r.passes(idleWhile)
		r.send(r.clientPeer, requestSize)
		r.failsAlone(want)
	}
}

// failsAlone is the end of it: the client's socket fails, the server's has seen nothing.
func (r *run) failsAlone(want unix.Errno) {
	r.errs(r.clientPeer, want)
	r.await(r.server, tcp.Established)
	r.vanish(r.serverPeer)
}
