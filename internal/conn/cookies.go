package conn

// cookies finds sockets by their cookie. Events of a socket come close together, so
// that most are found at hand, without the map, which is large and cold.
type cookies struct {
	all  map[uint64]*Conn
	near [1 << 8]nearby // some of all: those that were found last, each at its cookie's place
}

type nearby struct {
	cookie uint64
	c      *Conn
}

func newCookies() cookies { return cookies{all: make(map[uint64]*Conn)} }

// at is the place for a cookie among those at hand, where another may stand.
func (x *cookies) at(cookie uint64) *nearby { return &x.near[cookie%uint64(len(x.near))] }

// find returns the socket with that cookie, or nil.
func (x *cookies) find(cookie uint64) *Conn {
	near := x.at(cookie)
	if near.cookie == cookie {
		return near.c
	}
	c := x.all[cookie]
	if c != nil {
		*near = nearby{cookie, c}
	}
	return c
}

// put enters c, unless it has no cookie, in place of another with the same.
func (x *cookies) put(c *Conn) {
	if c.Cookie != 0 {
		x.all[c.Cookie] = c
		*x.at(c.Cookie) = nearby{c.Cookie, c}
	}
}

// remove takes c out, unless another has its cookie by now.
func (x *cookies) remove(c *Conn) {
	if c.Cookie == 0 || x.all[c.Cookie] != c {
		return
	}
	delete(x.all, c.Cookie)
	if near := x.at(c.Cookie); near.c == c {
		*near = nearby{}
	}
}
