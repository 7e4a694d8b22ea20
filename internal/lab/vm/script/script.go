// Package script holds the words that the host and the guest of a virtual
// machine exchange: the job that the guest finds in its initramfs, and the
// messages that it writes to its second serial port, one JSON object a line.
package script

// Path is where the guest finds its Job.
const Path = "/job.json"

// Port is the guest's device for messages; the first serial port is the kernel
// log's.
const Port = "/dev/ttyS1"

// Job is what the guest does between its boot and its end.
type Job struct {
	Args    []string // the program and its arguments
	Env     []string // KEY=value, beside PATH, HOME and TMPDIR
	Modules []string // kernel modules (files in the guest) to insert, in this order
	Steps   []Step   // done in order while the program runs
}

// Action is the verb of a Step.
type Action string

// The actions.
const (
	Await     Action = "await"     // until the program wrote With to stderr
	Read      Action = "read"      // until the program wrote With to stdout, after this step has begun
	Talk      Action = "talk"      // one TCP connection to a listener on the address With
	Route     Action = "route"     // add a route: With is its type and destination, as ip-route(8) has them
	Fail      Action = "fail"      // a connect() that must fail: With is the address and the error's name
	NoPort    Action = "no-port"   // a connect() that must find no free port: With is an address to listen on
	Interrupt Action = "interrupt" // SIGINT to the program
)

// Step is one thing that the guest does while the program runs.
type Step struct {
	Do   Action
	With string
}

// Message is one line from the guest. Exactly one field is set.
type Message struct {
	Started bool   `json:",omitempty"` // the guest's user space runs
	Stdout  []byte `json:",omitempty"` // some of the program's output, as it came
	Stderr  []byte `json:",omitempty"`
	Problem string `json:",omitempty"` // a step or the guest's set-up failed; more messages may follow
	Exit    *int   `json:",omitempty"` // the program's exit status, 128+n for signal n; the last message
}
