package diagnose

// sockets finds records by their sockets' cookies. Events of a socket come close
// together, so that most are found at hand, without the map, which is large and cold.
type sockets struct {
	all  map[uint64]*record
	near [1 << 8]nearby // some of all: those that were found last, each at its cookie's place
}

type nearby struct {
	cookie uint64
	r      *record
}

func newSockets() sockets { return sockets{all: map[uint64]*record{}} }

// at is the place for a cookie among those at hand, where another may stand.
func (x *sockets) at(cookie uint64) *nearby { return &x.near[cookie%uint64(len(x.near))] }

// find returns the record with that cookie, or nil.
func (x *sockets) find(cookie uint64) *record {
	near := x.at(cookie)
	if near.cookie == cookie {
		return near.r
	}
	r := x.all[cookie]
	if r != nil {
		*near = nearby{cookie, r}
	}
	return r
}

// put enters r, which has a cookie, in place of another with the same.
func (x *sockets) put(r *record) {
	x.all[r.Cookie] = r
	*x.at(r.Cookie) = nearby{r.Cookie, r}
}

// remove takes r out, unless another has its cookie by now.
func (x *sockets) remove(r *record) {
	if x.all[r.Cookie] != r {
		return
	}
	delete(x.all, r.Cookie)
	if near := x.at(r.Cookie); near.r == r {
		*near = nearby{}
	}
}
