package jury

import "time"

// The processes of the scenes.
const (
	clientPID = 10
	parentPID = 20 // accepts
	childPID  = 21 // serves
	otherPID  = 99 // had never anything to do with it
)

var comms = map[uint32]string{clientPID: "curl", parentPID: "master", childPID: "worker", otherPID: "editor"}

// ms are milliseconds after the beginning.
func ms(n float64) int64 { return int64(time.Hour) + int64(n*float64(time.Millisecond)) }

// The sockets of the scenes.
const (
	clientCookie, serverCookie, listenerCookie = 1001, 1002, 1003
	clientPort, serverPort                     = 40000, 80
)

// scene is a log and what is told of it.
type scene struct {
	records []Record
	claims  []Claim
}

// does writes a system call of 10 µs down; threads have their process's number.
func (s *scene) does(at float64, pid uint32, act Act, result int32) {
	r := Record{
		Act: act, From: ms(at), To: ms(at + 0.01), PID: pid, TID: pid, Result: result, Comm: comms[pid],
		Cookie: serverCookie, Local: serverPort, Remote: clientPort, Server: true,
	}
	if pid == clientPID {
		r.Cookie, r.Local, r.Remote, r.Server = clientCookie, clientPort, serverPort, false
	}
	if act == Listen {
		r.Cookie, r.Remote = listenerCookie, 0
	}
	s.records = append(s.records, r)
}

// tells of the server's socket; who 0: nobody is known.
func (s *scene) tells(at float64, kind, state string, who uint32, via string) {
	s.claims = append(s.claims, Claim{
		At: ms(at + 0.1), Time: ms(at), Kind: kind, Cookie: serverCookie, LocalPort: serverPort, RemotePort: clientPort,
		NewState: state, OwnerPID: who, OwnerComm: comms[who], OwnerVia: via,
	})
}

// acts makes the last claim one of an event that its owner has caused.
func (s *scene) acts() {
	c := &s.claims[len(s.claims)-1]
	c.PID, c.TID, c.Comm = c.OwnerPID, c.OwnerPID, c.OwnerComm
}

func (s *scene) born() {
	for pid, comm := range comms {
		s.records = append(s.records, Record{Act: Name, From: ms(-100), To: ms(-100), PID: pid, TID: pid, Comm: comm})
	}
}

// served is a connection that one process accepts and serves: read at 2 ms,
// closed at 2007 ms. The client's end is told from beginning to end.
func served() *scene {
	s := &scene{}
	s.born()
	s.does(-50, parentPID, Listen, 0)
	s.does(0, clientPID, Connect, 0)
	s.does(1, parentPID, Accept, 0)
	s.does(2, parentPID, Read, 64)
	s.does(3, parentPID, Write, 64)
	s.does(4, clientPID, Read, 64)
	s.does(2005, clientPID, Close, 0)
	s.does(2006, parentPID, Read, 0)
	s.does(2007, parentPID, Close, 0)
	s.tells(0.1, "state", "SYN_RECV", 0, "")
	s.tells(0.1, "state", "ESTABLISHED", 0, "")
	s.tells(2, "owner", "", parentPID, "read")
	s.acts()
	s.tells(2005, "state", "CLOSE_WAIT", parentPID, "read")
	s.tells(2007, "state", "LAST_ACK", parentPID, "read")
	s.acts()
	s.tells(2007.1, "state", "CLOSE", parentPID, "read")
	s.tellsClient(0, "SYN_SENT")
	s.tellsClient(0.1, "ESTABLISHED")
	s.tellsClient(2005, "FIN_WAIT1")
	return s
}

func (s *scene) tellsClient(at float64, state string) {
	c := Claim{
		At: ms(at + 0.1), Time: ms(at), Kind: "state", Cookie: clientCookie, LocalPort: clientPort, RemotePort: serverPort,
		NewState: state, OwnerPID: clientPID, OwnerComm: comms[clientPID], OwnerVia: "connect",
	}
	if state != "ESTABLISHED" {
		c.PID, c.TID, c.Comm = clientPID, clientPID, comms[clientPID]
	}
	s.claims = append(s.claims, c)
}

// handedOver is a connection that the parent accepts and gives to a child at 2 ms,
// which reads at 20 ms and closes at 2000 ms.
func handedOver() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(2, childPID, Hold, 0)
	s.does(3, parentPID, Close, 0)
	s.does(20, childPID, Read, 64)
	s.does(2000, childPID, Close, 0)
	s.tells(0, "state", "ESTABLISHED", 0, "")
	s.tells(20, "owner", "", childPID, "read")
	s.tells(2000, "state", "FIN_WAIT1", childPID, "read")
	s.acts()
	return s
}

// passedOn is a connection that the parent reads from at 2 ms and passes on at
// 3 ms; the other process reads at 30 ms and closes at 2000 ms.
func passedOn() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(2, parentPID, Read, 64)
	s.does(3, parentPID, Close, 0)
	s.does(3.5, childPID, Hold, 0)
	s.does(30, childPID, Read, 64)
	s.does(2000, childPID, Close, 0)
	s.tells(2, "owner", "", parentPID, "read")
	s.tells(30, "owner", "", childPID, "read")
	s.tells(2000, "state", "FIN_WAIT1", childPID, "read")
	s.acts()
	return s
}

// onlyHeld is a connection that nobody touches until it is reset at 3000 ms.
func onlyHeld() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(3000, parentPID, Close, 0)
	s.tells(0, "state", "ESTABLISHED", 0, "")
	s.tells(900, "owner", "", parentPID, "held")
	s.tells(2999, "state", "CLOSE", parentPID, "held")
	return s
}

// leaked is a connection that the child closes at 20 ms, and the parent, whose
// copy was not closed, at 40 ms.
func leaked() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(2, childPID, Hold, 0)
	s.does(10, childPID, Write, 64)
	s.does(20, childPID, Close, 0)
	s.does(40, parentPID, Close, 0)
	s.tells(10, "owner", "", childPID, "write")
	s.tells(40, "state", "FIN_WAIT1", parentPID, "close")
	s.acts()
	s.tells(60, "state", "CLOSE", parentPID, "close")
	return s
}

// keptCopy is handedOver, but the parent keeps its copy until 1500 ms.
func keptCopy() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(2, childPID, Hold, 0)
	s.does(20, childPID, Read, 64)
	s.does(1500, parentPID, Close, 0)
	s.does(3000, childPID, Close, 0)
	s.tells(20, "owner", "", childPID, "read")
	s.tells(3000, "state", "FIN_WAIT1", childPID, "read")
	s.acts()
	return s
}

// heldOn is onlyHeld, by the parent until 100 ms and by the child from then on.
func heldOn() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(99, childPID, Hold, 0)
	s.does(100, parentPID, Close, 0)
	s.does(3000, childPID, Close, 0)
	s.tells(50, "owner", "", parentPID, "held")
	s.tells(900, "owner", "", childPID, "held")
	s.tells(2999, "state", "CLOSE", childPID, "held")
	return s
}

// heldByTwo is onlyHeld, by both.
func heldByTwo() *scene {
	s := onlyHeld()
	s.does(2, childPID, Hold, 0)
	s.does(2999, childPID, Close, 0)
	return s
}

// quick is a connection that ends before its owner has to be known.
func quick() *scene {
	s := &scene{}
	s.born()
	s.does(1, parentPID, Accept, 0)
	s.does(2, parentPID, Read, 64)
	s.does(900, parentPID, Close, 0)
	s.tells(2, "owner", "", parentPID, "read")
	s.tells(900, "state", "FIN_WAIT1", parentPID, "read")
	s.acts()
	return s
}
