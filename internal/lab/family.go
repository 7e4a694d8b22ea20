package lab

import "golang.org/x/sys/unix"

// Family is an IP version.
type Family uint8

// The families, numbered as in the flags -4 and -6.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Families are both, for loops over them.
var Families = [...]Family{IPv4, IPv6}

// String returns "IPv4" or "IPv6".
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// domain is the family as socket(2) and netlink number it.
func (f Family) domain() uint8 {
	if f == IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
