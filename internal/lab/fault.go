package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"tcpstory/internal/tcp"
)

// Hook is the place of a rule on a packet's way through a host.
type Hook uint8

// The hooks, as netfilter names them.
const (
	Input       Hook = iota // to this host's own sockets
	Output                  // from them
	Forward                 // through
	Prerouting              // just arrived
	Postrouting             // about to leave
)

var hooks = [...]*nftables.ChainHook{
	Input:       nftables.ChainHookInput,
	Output:      nftables.ChainHookOutput,
	Forward:     nftables.ChainHookForward,
	Prerouting:  nftables.ChainHookPrerouting,
	Postrouting: nftables.ChainHookPostrouting,
}

// Action is what a rule does with the packets it matches.
type Action uint8

// The actions.
const (
	Drop                  Action = iota
	RejectReset                  // answer with a RST
	RejectHostUnreachable        // answer with an ICMP error
	RejectProhibited             // answer with ICMP "administratively prohibited"
	Translate                    // DNAT to Rule.Target
	Masquerade                   // SNAT to the device's address, Postrouting
	Corrupt                      // change it, and not its checksum
	Backdate                     // set the TCP timestamp to Rule.Stamp
)

// Rule selects TCP packets; zero fields select all. Ports are host order.
type Rule struct {
	// Solicitation selects IPv6 neighbour solicitations, and nothing of TCP.
	Solicitation bool

	Hook     Hook
	FromPort uint16
	ToPort   uint16
	Flags    tcp.Flags // all of these set
	Data     bool      // carries data, some 100 bytes at least
	Longer   uint32    // more than so many bytes, IP header included
	Astray   bool      // whose way back leads over another device than it came by
	Unknown  bool      // of no connection that this host's connection tracking knows
	First    uint32    // only the first so many packets that match the rest
	To       netip.Addr
	Action   Action
	Target   netip.AddrPort // of Translate
	Stamp    uint32         // of Backdate
}

// Fault is a rule at work on a host.
type Fault struct {
	host  *Host
	table *nftables.Table
	chain *nftables.Chain
}

// faults keeps the names of tables apart.
var faults atomic.Uint64

// Break puts a rule to work. It lasts until Lift or the end of the lab.
func (h *Host) Break(r Rule) (*Fault, error) {
	c, err := h.nft()
	if err != nil {
		return nil, err
	}
	f := &Fault{host: h}
	f.table = c.AddTable(&nftables.Table{
		Family: nftables.TableFamilyINet,
		Name:   fmt.Sprintf("tcplab%d", faults.Add(1)),
	})
	f.chain = c.AddChain(r.chain(f.table))
	c.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: r.exprs()})
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("add a firewall rule on the %s: %w", h.name, err)
	}
	return f, nil
}

// Lift removes the rule; what it matched passes from now on.
func (f *Fault) Lift() error {
	c, err := f.host.nft()
	if err != nil {
		return err
	}
	c.DelTable(f.table)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove a firewall rule on the %s: %w", f.host.name, err)
	}
	return nil
}

// Packets says how many packets the rule has acted on.
func (f *Fault) Packets() (uint64, error) {
	c, err := f.host.nft()
	if err != nil {
		return 0, err
	}
	rules, err := c.GetRules(f.table, f.chain)
	if err != nil {
		return 0, fmt.Errorf("read the counter of a firewall rule on the %s: %w", f.host.name, err)
	}
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			if n, ok := e.(*expr.Counter); ok {
				return n.Packets, nil
			}
		}
	}
	return 0, errors.New("read the counter of a firewall rule: it has none")
}

func (h *Host) nft() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithNetNSFd(int(h.ns.fd)))
	if err != nil {
		return nil, fmt.Errorf("open nftables on the %s: %w", h.name, err)
	}
	return c, nil
}

func (r Rule) chain(t *nftables.Table) *nftables.Chain {
	c := &nftables.Chain{
		Table: t, Name: "fault", Hooknum: hooks[r.Hook],
		Type: nftables.ChainTypeFilter, Priority: nftables.ChainPriorityFilter,
	}
	switch r.Action {
	case Translate:
		c.Type, c.Priority = nftables.ChainTypeNAT, nftables.ChainPriorityNATDest
	case Masquerade:
		c.Type, c.Priority = nftables.ChainTypeNAT, nftables.ChainPriorityNATSource
	}
	return c
}
