package record

import "tcpstory/internal/tcp"

// form is how a member stands in JSON.
type form uint8

const (
	formNumber form = iota
	formSigned      // zigzag in a row
	formTruth
	formWord  // a number that has a name: that; a number where it has none
	formText  // untrusted: in base64, under the name with base64Suffix, unless it is plain ASCII
	formBytes // base64
	formEnd   // address:port; a port alone where the address is not known
)

// base64Suffix marks the name of a text that does not stand as it is.
const base64Suffix = "_base64"

// jsonName is what a member is called in JSON.
type jsonName struct {
	name  string
	form  form
	words []string
}

// names are what the members are called in JSON. Like tags, they stay.
var names = [tagEnd]jsonName{
	tagSeq: {name: "seq"}, tagTime: {name: "time_ns", form: formSigned},
	tagKind:   {name: "type", form: formWord, words: wordsOf[tcp.Kind]()},
	tagCookie: {name: "cookie"}, tagNetns: {name: "netns"},
	tagLocal: {name: "local", form: formEnd}, tagRemote: {name: "remote", form: formEnd},
	tagOld:      {name: "old", form: formWord, words: wordsOf[tcp.State]()},
	tagNew:      {name: "new", form: formWord, words: wordsOf[tcp.State]()},
	tagMinisock: {name: "minisock", form: formWord, words: wordsOf[tcp.State]()},
	tagVia:      {name: "via", form: formWord, words: wordsOf[tcp.Via]()},
	tagCgroup:   {name: "cgroup"}, tagISN: {name: "isn"}, tagPeerISN: {name: "peer_isn"},
	tagInferred: {name: "inferred", form: formTruth}, tagErrno: {name: "errno", form: formSigned},
	tagSoft: {name: "soft", form: formTruth}, tagReason: {name: "reason", form: formText},
	tagPID: {name: "pid"}, tagTID: {name: "tid"}, tagComm: {name: "comm", form: formText},
	tagAgain: {name: "again", form: formWord, words: wordsOf[tcp.RetransmitKind]()},
	tagCount: {name: "count"}, tagCause: {name: "cause", form: formWord, words: wordsOf[tcp.GapCause]()},
	tagLost: {name: "lost"}, tagHook: {name: "hook", form: formText},
	tagCounters:   {name: "counters", form: formTruth},
	tagBytesAcked: {name: "bytes_acked"}, tagBytesReceived: {name: "bytes_received"},
	tagSegsOut: {name: "segs_out"}, tagSegsIn: {name: "segs_in"}, tagRetransmits: {name: "retransmits"},
	tagSRTT: {name: "srtt_us"}, tagBacklog: {name: "backlog"}, tagMaxBacklog: {name: "max_backlog"},
	tagPlace:     {name: "place", form: formTruth},
	tagPlaceName: {name: "place_name", form: formText}, tagPlacePath: {name: "place_path", form: formText},
	tagPlaceContainer: {name: "place_container", form: formText}, tagPlaceRuntime: {name: "place_runtime", form: formText},
	tagFrame: {name: "frame", form: formBytes}, tagLength: {name: "length"}, tagLink: {name: "link"},
	tagDir:     {name: "dir", form: formWord, words: wordsOf[tcp.Direction]()},
	tagIfindex: {name: "ifindex"}, tagDevice: {name: "device", form: formText},
	tagAsked: {name: "asked", form: formTruth}, tagLoopback: {name: "loopback", form: formTruth},
	tagSegmentLocal: {name: "source", form: formEnd}, tagSegmentRemote: {name: "target", form: formEnd},
	tagIPOffset: {name: "ip_offset", form: formSigned}, tagL4Offset: {name: "l4_offset", form: formSigned},
	tagEtherType: {name: "ether_type"}, tagProtocol: {name: "protocol"},
	tagFragment: {name: "fragment", form: formTruth}, tagIsTCP: {name: "is_tcp", form: formTruth},
	tagFlags: {name: "flags"}, tagTCPSeq: {name: "tcp_seq"}, tagAck: {name: "tcp_ack"}, tagWindow: {name: "window"},
	tagHeaderLen: {name: "header_length", form: formSigned}, tagPayloadLen: {name: "payload_length", form: formSigned},
	tagQuotedLocal: {name: "quoted_source", form: formEnd}, tagQuotedRemote: {name: "quoted_target", form: formEnd},
	tagIsQuote: {name: "is_quote", form: formTruth},
	tagHead:    {name: "head", form: formBytes},
	tagTick:    {name: "tick_ns", form: formSigned}, tagJiffies: {name: "jiffies"}, tagExpires: {name: "expires"},
	tagExpects: {name: "expects"}, tagRFC1337: {name: "rfc1337", form: formTruth},
	tagStarting: {name: "starting", form: formTruth},

	tagKnown: {name: "known", form: formTruth}, tagKnownID: {name: "id"}, tagKnownPeer: {name: "peer"},
	tagKnownBefore: {name: "before"}, tagKnownSuitor: {name: "suitor"}, tagKnownNumber: {name: "number"},
	tagKnownRole: {name: "role"}, tagKnownWhy: {name: "why"}, tagKnownMarks: {name: "marks"},
	tagKnownSince: {name: "since"}, tagKnownOpened: {name: "opened"}, tagKnownClosed: {name: "closed"},
	tagKnownLast: {name: "last"}, tagKnownDue: {name: "due"}, tagKnownArmed: {name: "armed"},
	tagKnownUndo: {name: "undo"}, tagKnownUndone: {name: "undone"}, tagKnownStamp: {name: "stamp"},
	tagKnownOutEnd: {name: "out_end"}, tagKnownInEnd: {name: "in_end"}, tagKnownSent: {name: "sent"},
	tagOpenerPID: {name: "opener_pid"}, tagOpenerTID: {name: "opener_tid"}, tagOpenerComm: {name: "opener_comm", form: formText},
	tagAliasLocal: {name: "wire_local", form: formEnd}, tagAliasRemote: {name: "wire_remote", form: formEnd},

	tagUserTimeout: {name: "user_timeout_ns", form: formSigned},
	tagStack:       {name: "stack", form: formTruth}, tagListenOverflows: {name: "listen_overflows"},
	tagReqQFullDrop: {name: "req_q_full_drop"}, tagReqQFullCookies: {name: "req_q_full_cookies"}, tagLocalPorts: {name: "local_ports"},

	tagLife: {name: "life", form: formTruth}, tagBegan: {name: "began_ns", form: formSigned},
	tagEstablished: {name: "established_ns", form: formSigned}, tagShut: {name: "shut_ns", form: formSigned},
	tagShutToo: {name: "shut_too_ns", form: formSigned}, tagFirstRead: {name: "first_read_ns", form: formSigned},
	tagBytesSent: {name: "bytes_sent"}, tagBytesRetrans: {name: "bytes_retransmitted"}, tagUnacked: {name: "unacked"},
	tagRTTMin: {name: "rtt_min_us"}, tagMSS: {name: "mss"}, tagCwnd: {name: "cwnd"},
	tagIdle: {name: "idle_ns", form: formSigned}, tagLifeFlags: {name: "life_flags"},
}

// wordsOf are the names of the values of a type, up to the last that has one.
func wordsOf[T interface {
	~uint8
	String() string
}]() (words []string) {
	nameless := T(255).String()
	for v := T(0); v.String() != nameless || v == 0; v++ {
		words = append(words, v.String())
	}
	return words
}

// tagsByName finds the members again.
var tagsByName = func() map[string]tag {
	m := make(map[string]tag, 2*tagEnd)
	for t := range names {
		if n := &names[t]; n.name != "" {
			m[n.name] = tag(t)
			if n.form == formText {
				m[n.name+base64Suffix] = tag(t)
			}
		}
	}
	return m
}()
