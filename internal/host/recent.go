package host

// recent keeps what was asked for lately: at least the last limit keys, at most
// twice as many.
type recent[K comparable, V any] struct {
	young, old map[K]V
	limit      int
}

func (r *recent[K, V]) get(key K) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok {
		r.put(key, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, v V) {
	if r.young == nil || len(r.young) >= r.limit {
		r.young, r.old = make(map[K]V), r.young
	}
	r.young[key] = v
}
