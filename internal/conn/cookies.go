package conn

// ByCookie finds what belongs to sockets by their cookies. Events of a socket come close
// together, so that most is found at hand, without the map, which is large and cold.
// Not for concurrent use.
type ByCookie[T any] struct {
	All  map[uint64]*T     // to be read only
	near [1 << 8]atHand[T] // some of All: those that were found last, each at its cookie's place
}

type atHand[T any] struct {
	cookie uint64
	of     *T
}

// NewByCookie begins with none.
func NewByCookie[T any]() ByCookie[T] { return ByCookie[T]{All: make(map[uint64]*T)} }

// at is the place for a cookie among those at hand, where another may stand.
func (x *ByCookie[T]) at(cookie uint64) *atHand[T] { return &x.near[cookie%uint64(len(x.near))] }

// Find returns what belongs to the socket with that cookie, or nil.
func (x *ByCookie[T]) Find(cookie uint64) *T {
	near := x.at(cookie)
	if near.of != nil && near.cookie == cookie {
		return near.of
	}
	of := x.All[cookie]
	if of != nil {
		*near = atHand[T]{cookie, of}
	}
	return of
}

// Put enters what belongs to a socket, in place of what did; 0 is no cookie.
func (x *ByCookie[T]) Put(cookie uint64, of *T) {
	if cookie != 0 {
		x.All[cookie] = of
		*x.at(cookie) = atHand[T]{cookie, of}
	}
}

// Remove takes it out, unless something else belongs to that socket by now.
func (x *ByCookie[T]) Remove(cookie uint64, of *T) {
	if cookie == 0 || x.All[cookie] != of {
		return
	}
	delete(x.All, cookie)
	if near := x.at(cookie); near.of == of {
		*near = atHand[T]{}
	}
}
