package render

// Neighbour discovery (RFC 4861): messages first, then their options.

func (d *dissection) icmp6RouterSolicit(_ uint8, off int, length uint32) bool {
	return d.opts.Verbose == 0 || d.ndOptions(off+8, int(length)-8)
}

var routerFlagNames = []bitName{
	{0x80, "managed"}, {0x40, "other stateful"}, {0x20, "home agent"}, {0x02, "ipv6 only"},
}

var routerPreferences = [4]string{"medium", "high", "rsv", "low"}

func (d *dissection) icmp6RouterAdvert(_ uint8, off int, length uint32) bool {
	if d.opts.Verbose == 0 {
		return true
	}
	flags := d.u8(off + 5)
	if !d.need(off, 16) {
		return false
	}
	d.dec("\n\thop limit ", uint32(d.u8(off+4)))
	d.put(", Flags [")
	d.bits(routerFlagNames, uint32(flags))
	d.put("], pref ")
	d.put(routerPreferences[flags>>3&3])
	d.dec(", router lifetime ", uint32(d.u16(off+6)))
	d.dec("s, reachable time ", d.u32(off+8))
	d.dec("ms, retrans timer ", d.u32(off+12))
	d.put("ms")
	return d.ndOptions(off+16, int(length)-16)
}

func (d *dissection) icmp6NeighborAsk(_ uint8, off int, length uint32) bool {
	d.icmp6About(", who has ", off+8)
	return d.opts.Verbose == 0 || d.ndOptions(off+24, int(length)-24)
}

var neighborFlagNames = []bitName{
	{0x80000000, "router"}, {0x40000000, "solicited"}, {0x20000000, "override"},
}

func (d *dissection) icmp6NeighborTell(_ uint8, off int, length uint32) bool {
	d.icmp6About(", tgt is ", off+8)
	if d.opts.Verbose == 0 {
		return true
	}
	d.put(", Flags [")
	d.bits(neighborFlagNames, d.u32(off+4))
	d.put("]")
	return d.ndOptions(off+24, int(length)-24)
}

func (d *dissection) icmp6Redirect(_ uint8, off int, length uint32) bool {
	d.icmp6About(", ", off+24)
	d.icmp6About(" to ", off+8)
	return d.opts.Verbose == 0 || d.ndOptions(off+40, int(length)-40)
}

// ndOptionKinds are the options known, by kind; start is where all of a
// message's options begin.
var ndOptionKinds = map[uint8]struct {
	name  string
	print func(d *dissection, at, units, start int) bool
}{
	1:  {"source link-address", (*dissection).ndLinkAddress},
	2:  {"destination link-address", (*dissection).ndLinkAddress},
	3:  {"prefix info", (*dissection).ndPrefix},
	4:  {"redirected header", (*dissection).ndRedirected},
	5:  {"mtu", (*dissection).ndMTU},
	7:  {"advertisement interval", (*dissection).ndInterval},
	8:  {"homeagent information", (*dissection).ndHomeAgent},
	24: {"route info", (*dissection).ndRoute},
	25: {"rdnss", (*dissection).ndServers},
}

// ndOptions prints options, each on a line of its own. It reports false if
// the message ends there, having said so.
func (d *dissection) ndOptions(at, left int) bool {
	for start := at; at < d.end && !d.cut; {
		if !d.have(at+1, 1) {
			d.truncated()
			return false
		}
		if left <= 0 {
			return true
		}
		kind, units := d.u8(at), int(d.u8(at+1))
		if units == 0 || at+units*8 > d.end {
			d.truncated()
			return false
		}
		option, known := ndOptionKinds[kind]
		name := option.name
		if !known {
			name = "unknown"
		}
		d.put("\n\t  ")
		d.put(name)
		d.dec(" option (", uint32(kind))
		d.dec("), length ", uint32(units*8))
		d.dec(" (", uint32(units))
		d.put("): ")
		if known && !option.print(d, at, units, start) {
			d.truncated()
			return false
		}
		if !known && d.opts.Verbose == 1 {
			d.dump("\n\t  ", at+2, units*8-2)
			return true
		}
		if d.opts.Verbose > 1 {
			d.dump("\n\t    ", at+2, units*8-2)
		}
		at, left = at+units*8, left-units*8
	}
	return true
}

func (d *dissection) ndLinkAddress(at, units, _ int) bool {
	d.hexBytes(at+2, units*8-2, ':')
	return true
}

var prefixFlagNames = []bitName{{0x80, "onlink"}, {0x40, "auto"}, {0x20, "router"}}

func (d *dissection) ndPrefix(at, units, _ int) bool {
	if !d.need(at, 32) {
		return true
	}
	d.addr6(at + 16)
	d.dec("/", uint32(d.u8(at+2)))
	if units != 4 {
		d.put("badlen")
	}
	d.put(", Flags [")
	d.bits(prefixFlagNames, uint32(d.u8(at+3)))
	d.put("], valid time ")
	d.ndLifetime(d.u32(at + 4))
	d.put(", pref. time ")
	d.ndLifetime(d.u32(at + 8))
	return true
}

func (d *dissection) ndLifetime(seconds uint32) {
	if seconds == 1<<32-1 {
		d.put("infinity")
		return
	}
	d.dec("", seconds)
	d.put("s")
}

// ndRedirected dumps from the first option on, as tcpdump does.
func (d *dissection) ndRedirected(_, units, start int) bool {
	d.dump("\n\t    ", start, units*8)
	return true
}

func (d *dissection) ndMTU(at, units, _ int) bool {
	d.dec(" ", d.u32(at+4))
	if units != 1 {
		d.put("bad option length")
	}
	return true
}

func (d *dissection) ndInterval(at, _, _ int) bool {
	d.dec(" ", d.u32(at+4))
	d.put("ms")
	return true
}

func (d *dissection) ndHomeAgent(at, _, _ int) bool {
	d.dec(" preference ", uint32(d.u16(at+4)))
	d.dec(", lifetime ", uint32(d.u16(at+6)))
	return true
}

// ndRoute prints a route, whose prefix is as long as it needs to be (RFC 4191).
func (d *dissection) ndRoute(at, units, _ int) bool {
	var prefix [16]byte
	switch units {
	case 1, 2, 3:
		copy(prefix[:], d.f[at+8:at+units*8])
	default:
		return false
	}
	d.put(" ")
	d.b = appendAddr6(d.b, prefix[:])
	d.dec("/", uint32(d.u8(at+2)))
	d.put(", pref=")
	d.put(routerPreferences[d.u8(at+3)>>3&3])
	d.put(", lifetime=")
	d.ndLifetime(d.u32(at + 4))
	return true
}

// ndServers prints name servers (RFC 8106).
func (d *dissection) ndServers(at, units, _ int) bool {
	d.dec(" lifetime ", d.u32(at+4))
	d.put("s,")
	for i := range (units - 1) / 2 {
		d.put(" addr: ")
		d.addr6(at + 8 + 16*i)
	}
	return true
}
