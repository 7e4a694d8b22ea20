package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// lossy are the cases of segments that are lost on the way.
var lossy = []Scenario{
	{
		Name: "loss", Port: 7766, Topology: Routed, act: loss,
		About: "one segment in nine is lost: fast retransmits",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: counted("loss", OnTheWay, "retransmits", lossRounds),
			Server: perhaps("loss", OnTheWay), // it sees gaps, which reordering makes too
			Both:   counted("loss", OnTheWay, "retransmits", lossRounds),
		},
		Proof: []Count{{Client, "TcpExt", "TCPFastRetrans", lossRounds}},
	},
	{
		Name: "loss-timeouts", Port: 7745, Topology: Routed, act: lossTimeouts,
		About:    "a segment is lost three times: time-outs",
		Story:    timelyStory().wire(talked+" >P. >P. >P. >P. <. >F. <. <F. >.", talked+" >P. <. >F. <. <F. >."),
		Verdicts: atClient(counted("loss-timeouts", OnTheWay, "timeouts", 3)),
		Proof:    []Count{{Client, "TcpExt", "TCPTimeouts", 3}},
	},
	{
		Name: "tail-lost", Port: 7746, Topology: Routed, act: tailLost,
		About:    "the last segment is lost, again and again",
		Story:    timelyStory(),
		Verdicts: atClient(counted("tail-loss", OnTheWay, "probes", tailRounds)),
		Proof:    []Count{{Client, "TcpExt", "TCPLossProbes", tailRounds}},
	},
	{
		Name: "mtu-black-hole", Port: 7747, Topology: Routed, act: mtuBlackHole(true),
		About: "large segments die on the way, without a word",
		Story: cutOffStory(),
		Verdicts: atClient(then(probably("mtu-black-hole", OnTheWay), // nothing small is sent once time-outs begin
			perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay))),
		Proof: []Count{{Client, "TcpExt", "TCPTimeouts", 3}},
	},
	{
		Name: "answer-black-hole", Port: 7748, Topology: Routed, act: mtuBlackHole(false),
		About: "large segments of the answer die on the way",
		Story: Story{
			Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
			ServerErrno: unix.ETIMEDOUT,
			Standing:    Standing{Client: tcp.Established, Server: tcp.Established},
		},
		Verdicts: Verdicts{
			Client: perhaps("loss", OnTheWay), // it sees a gap before the answer's end
			Server: then(probably("mtu-black-hole", OnTheWay),
				perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
			Both: then(probably("mtu-black-hole", OnTheWay),
				perhaps("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
		},
		Proof: []Count{{Server, "TcpExt", "TCPTimeouts", 3}},
	},
}

// timelyStory is a connection that ends in good order in spite of all.
func timelyStory() Story {
	s := exchangeStory()
	s.Packets = ""
	return s
}

// lossRounds is how often one in eight is lost.
const lossRounds = 5

func loss(r *run) {
	const pieces = 8
	r.establish()
	r.exchange()
	for range lossRounds {
		f := r.strays(1)
		r.sendPieces(r.clientPeer, pieces, requestSize)
		r.receive(r.serverPeer, pieces*requestSize)
		r.acknowledged(r.client)
		r.lift(f)
	}
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// timesOutThrice loses a segment until its third time-out.
func (r *run) timesOutThrice() {
	f := r.strays(3)
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.caught(f, 3)
}

func lossTimeouts(r *run) {
	r.sysctl(r.client, "net.ipv4.tcp_early_retrans", "0") // no tail loss probe first
	r.establish()
	r.exchange()
	r.timesOutThrice()
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// tailRounds is how often a probe has to tell of it.
const tailRounds = 4

func tailLost(r *run) {
	r.establish()
	r.exchange()
	for range tailRounds {
		f := r.strays(1)
		r.delivers(r.clientPeer, r.serverPeer, requestSize)
		r.lift(f)
		r.exchange() // without a new round-trip time, no probe
	}
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// tunnelMTU is what passes a black hole, bytes; large is what does not, and its last
// segment does.
const (
	tunnelMTU = 1000
	large     = 5000
)

// mtuBlackHole has large segments die towards the server, or back.
func mtuBlackHole(there bool) func(*run) {
	return func(r *run) {
		sender, receiver := r.clientPeer, r.serverPeer
		rule := Rule{ToPort: r.scenario.Port, Longer: tunnelMTU}
		if !there {
			sender, receiver = receiver, sender
			rule.FromPort, rule.ToPort = rule.ToPort, 0
		}
		r.sysctl(sender.host, "net.ipv4.tcp_retries2", "3")
		f := r.routerDrops("what is longer than 1000 bytes", rule)
		r.establish()
		r.exchange()
		if !there {
			r.delivers(receiver, sender, requestSize)
		}
		r.send(sender, large)
		r.stand()
		r.errs(sender, unix.ETIMEDOUT)
		r.caught(f, 3)
		r.vanish(receiver)
	}
}
