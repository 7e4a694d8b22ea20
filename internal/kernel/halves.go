package kernel

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"

	"tcpstory/internal/tcp"
)

// How often half-open connections are looked through, and how long a timer may be
// late before one is taken for dead.
const (
	halfInterval = time.Second
	halfPatience = time.Second
	halfBatch    = 1024
	halfAtOnce   = 16 * halfBatch // of a flood no more is gathered before it was told
)

// halves finds half-open connections that came to nothing (bpf/half.h): nothing
// tells of their end, but their timer is over, and sent no SYN-ACK again.
type halves struct {
	noted  *ebpf.Map
	made   *ebpf.Variable // notes in all
	gone   *ebpf.Variable // how many had been made when none was there
	decode *decoder
	unsure bool              // RSTs that end one are not seen: its timer alone does not tell
	due    int64             // of the next look, CLOCK_MONOTONIC, ns
	walked map[uint32]uint64 // when those that stand in a namespace were told, likewise
	ending int64             // since when nothing is noted any more, likewise; 0: it goes on
	done   bool              // what was noted then is told
	dead   []half
	keys   []traceFlowKey
	values []traceHalf
}

type half struct {
	key  traceFlowKey
	half traceHalf
}

// at is when something was that is noted in units of 2^16 ns behind the beginning,
// CLOCK_MONOTONIC, ns.
func (h *traceHalf) at(behind uint32) uint64 { return h.Began + uint64(behind)<<16 }

func newHalves(coll *ebpf.Collection, d *decoder) *halves {
	return &halves{
		noted: coll.Maps[traceMapHalfOpen], made: coll.Variables[traceVarHalfMade], gone: coll.Variables[traceVarHalfGone],
		walked: map[uint32]uint64{}, decode: d, unsure: coll.Programs[traceProgLifeDrops] == nil,
	}
}

// next fills ev with one that is dead, or in the end with any.
func (h *halves) next(ev *tcp.Event) bool {
	if h == nil || len(h.dead) == 0 {
		return false
	}
	d := &h.dead[len(h.dead)-1]
	h.fill(ev, d)
	h.dead = h.dead[:len(h.dead)-1]
	if len(h.dead) == 0 {
		h.dead = nil
	}
	return true
}

func (h *halves) fill(ev *tcp.Event, d *half) {
	e := traceEvent{Family: d.half.Family, Saddr: d.key.Local, Daddr: d.key.Remote, Sport: d.key.Lport, Dport: d.key.Rport}
	ended, at := h.ended(d.key.Netns, &d.half)
	h.decode.life = tcp.Life{Began: h.decode.when(d.half.Began), Flags: tcp.LifeIn | tcp.LifeHalf | ended}
	h.decode.counters = tcp.Counters{Retransmits: uint32(d.half.Again)}
	*ev = tcp.Event{
		Kind: tcp.KindLife, Time: h.decode.when(at), Netns: d.key.Netns, Cgroup: d.half.Cgroup, Flow: flow(&e),
		Old: tcp.NewSynRecv, New: tcp.Close, Life: &h.decode.life, Counters: &h.decode.counters,
	}
}

// ended tells how one ended, and when, CLOCK_MONOTONIC, ns. What stood was told where its
// namespace could be looked at, and it had begun by then.
func (h *halves) ended(netns uint32, d *traceHalf) (tcp.LifeFlags, uint64) {
	walked := h.walked[netns]
	if d.Began >= walked {
		walked = 0
	}
	switch {
	case d.Sign == uint8(traceHalfSignHALF_RESET):
		return tcp.LifeReset, d.at(d.SignedAt)
	case d.at(d.Due) >= h.before(walked):
		if walked == 0 {
			return tcp.LifeIsOpen, uint64(h.ending)
		}
		return tcp.LifeDoubt, walked // it did not stand then
	case h.unsure, d.Sign == uint8(traceHalfSignHALF_DOUBT):
		return tcp.LifeDoubt, d.at(d.Due)
	}
	return 0, d.at(d.Due)
}

// before is until when a timer has to have been due for its half-open connection to be
// dead. What did not stand when all that stood were looked at needs no patience.
func (h *halves) before(walked uint64) uint64 {
	switch {
	case walked != 0:
		return walked
	case h.ending != 0:
		return uint64(h.ending - int64(halfPatience))
	}
	return math.MaxUint64
}

// look looks through them, where that is due at time mono.
func (h *halves) look(mono int64) error {
	if h == nil || mono < h.due || len(h.dead) > 0 || h.ending != 0 {
		return nil
	}
	h.due = mono + int64(halfInterval)
	var made, gone uint64
	if err := errors.Join(h.made.Get(&made), h.gone.Get(&gone)); err != nil || made == gone {
		return err
	}
	seen, more, err := h.gather(uint64(mono - int64(halfPatience)))
	if more {
		h.due = 0
	}
	if seen == 0 && err == nil { // the programs need not look any more
		err = h.gone.Set(made)
	}
	return err
}

// end gathers whatever is noted yet, a part at each call: the programs, which stopped at
// time mono, add nothing any more.
func (h *halves) end(mono int64) error {
	if h == nil || h.done || len(h.dead) > 0 {
		return nil
	}
	if h.ending == 0 {
		h.ending = mono
	}
	_, more, err := h.gather(math.MaxUint64)
	h.done = !more
	return err
}

// gather takes those out whose timer was due before; seen is how many it has looked at,
// more: there may be others.
func (h *halves) gather(before uint64) (seen int, more bool, err error) {
	if h.keys == nil {
		h.keys, h.values = make([]traceFlowKey, halfBatch), make([]traceHalf, halfBatch)
	}
	var cursor ebpf.MapBatchCursor
	for {
		n, err := h.noted.BatchLookup(&cursor, h.keys, h.values, nil)
		seen += n
		for i := range n {
			if v := &h.values[i]; v.at(v.Due) < before && v.Sign != uint8(traceHalfSignHALF_TOLD) {
				h.dead = append(h.dead, half{h.keys[i], h.values[i]})
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if len(h.dead) >= halfAtOnce {
			more = true
			break
		}
		if err != nil {
			return seen, false, fmt.Errorf("look through half-open connections: %w", err)
		}
	}
	return seen, more, h.forget(before)
}

// forget takes those out of the map that are dead, and of the dead those whose SYN-ACK
// was sent again since they were looked up: the same ends may have begun anew.
func (h *halves) forget(before uint64) error {
	dead := h.dead[:0]
	for i := range h.dead {
		d := &h.dead[i]
		var now traceHalf
		err := h.noted.Lookup(&d.key, &now)
		if err == nil && now.at(now.Due) < before {
			err = h.noted.Delete(&d.key)
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist): // it has become a connection
		case err != nil:
			return fmt.Errorf("forget a half-open connection: %w", err)
		case now.at(now.Due) < before:
			dead = append(dead, half{d.key, now})
		}
	}
	h.dead = dead
	return nil
}
