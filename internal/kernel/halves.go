package kernel

import (
	"errors"
	"fmt"
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

// halves finds half-open connections that came to nothing (bpf/life.h): nothing
// tells of their end, but their timer is over, and sent no SYN-ACK again.
type halves struct {
	noted  *ebpf.Map
	had    *ebpf.Variable
	decode *decoder
	due    int64 // of the next look, CLOCK_MONOTONIC, ns
	dead   []half
	keys   []traceFlowKey
	values []traceHalf
}

type half struct {
	key  traceFlowKey
	half traceHalf
}

func newHalves(coll *ebpf.Collection, d *decoder) *halves {
	return &halves{noted: coll.Maps[traceMapHalfOpen], had: coll.Variables[traceVarHadHalfOpen], decode: d}
}

// next fills ev with one that is dead.
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
	e := traceEvent{Family: uint8(d.half.Family), Saddr: d.key.Local, Daddr: d.key.Remote, Sport: d.key.Lport, Dport: d.key.Rport}
	h.decode.life = tcp.Life{Began: h.decode.when(d.half.Began), Flags: tcp.LifeIn | tcp.LifeHalf}
	h.decode.counters = tcp.Counters{Retransmits: d.half.Again}
	*ev = tcp.Event{
		Kind: tcp.KindLife, Time: h.decode.when(d.half.Due), Netns: d.key.Netns, Cgroup: d.half.Cgroup, Flow: flow(&e),
		Old: tcp.NewSynRecv, New: tcp.Close, Life: &h.decode.life, Counters: &h.decode.counters,
	}
}

// look looks through them, where that is due at time mono.
func (h *halves) look(mono int64) error {
	if h == nil || mono < h.due || len(h.dead) > 0 {
		return nil
	}
	h.due = mono + int64(halfInterval)
	var had bool
	if err := h.had.Get(&had); err != nil || !had {
		return err
	}
	return h.gather(uint64(mono - int64(halfPatience)))
}

// gather takes those out whose timer was due before.
func (h *halves) gather(before uint64) error {
	if h.keys == nil {
		h.keys, h.values = make([]traceFlowKey, halfBatch), make([]traceHalf, halfBatch)
	}
	var cursor ebpf.MapBatchCursor
	for {
		n, err := h.noted.BatchLookup(&cursor, h.keys, h.values, nil)
		for i := range n {
			if h.values[i].Due < before {
				h.dead = append(h.dead, half{h.keys[i], h.values[i]})
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if len(h.dead) >= halfAtOnce {
			h.due = 0 // there are more
			break
		}
		if err != nil {
			return fmt.Errorf("look through half-open connections: %w", err)
		}
	}
	return h.forget(before)
}

// forget takes those out of the map that are dead, and of the dead those whose SYN-ACK
// was sent again since they were looked up: the same ends may have begun anew.
func (h *halves) forget(before uint64) error {
	dead := h.dead[:0]
	for i := range h.dead {
		d := &h.dead[i]
		var now traceHalf
		err := h.noted.Lookup(&d.key, &now)
		if err == nil && now.Due < before {
			err = h.noted.Delete(&d.key)
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist): // it has become a connection
		case err != nil:
			return fmt.Errorf("forget a half-open connection: %w", err)
		case now.Due < before:
			dead = append(dead, half{d.key, now})
		}
	}
	h.dead = dead
	return nil
}
