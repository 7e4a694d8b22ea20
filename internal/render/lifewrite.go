package render

// LifeJSON is the sink for programs: an object a connection, with the members of
// lifeFields; those that are unknown are left out.
type LifeJSON struct {
	*Writer
	scratch []byte
}

// NewLifeJSON returns a JSON sink.
func NewLifeJSON(w *Writer) *LifeJSON { return &LifeJSON{Writer: w} }

// Write appends one object.
func (j *LifeJSON) Write(row LifeRow) error {
	b := append(j.buf, '{')
	for i := range lifeFields {
		f := &lifeFields[i]
		put := f.number
		if put == nil {
			put = f.text
		}
		if j.scratch = put(j.scratch[:0], &row); len(j.scratch) == 0 {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		if f.text != nil {
			b = appendJSONString(b, j.scratch)
		} else {
			b = append(b, j.scratch...)
		}
	}
	return j.commit(append(b, '}', '\n'))
}

// LifeCSV is the sink for spreadsheets (RFC 4180, but lines end as Unix's do): the
// columns of lifeFields under their names; what is unknown is empty.
type LifeCSV struct {
	*Writer
	scratch []byte
	headed  bool
}

// NewLifeCSV returns a CSV sink.
func NewLifeCSV(w *Writer) *LifeCSV { return &LifeCSV{Writer: w} }

// Write appends one line, the first with the names before it.
func (c *LifeCSV) Write(row LifeRow) error {
	c.head()
	b := c.buf
	for i := range lifeFields {
		f := &lifeFields[i]
		if i > 0 {
			b = append(b, ',')
		}
		if f.text == nil {
			b = f.number(b, &row)
			continue
		}
		c.scratch = f.text(c.scratch[:0], &row)
		b = appendLifeCSV(b, c.scratch)
	}
	return c.commit(append(b, '\n'))
}

func (c *LifeCSV) head() {
	if c.headed {
		return
	}
	c.headed = true
	for i := range lifeFields {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(c.buf, lifeFields[i].name...)
	}
	c.buf = append(c.buf, '\n')
}

// Close writes the names even where nothing ended.
func (c *LifeCSV) Close() error {
	c.head()
	return c.Writer.Close()
}

// appendLifeCSV appends untrusted bytes as one value: printable ASCII, quoted where a
// comma or a quote asks for it.
func appendLifeCSV(dst, text []byte) []byte {
	quote := false
	for _, ch := range text {
		quote = quote || ch == ',' || ch == '"'
	}
	if !quote {
		return appendASCII(dst, text)
	}
	dst = append(dst, '"')
	for _, ch := range text {
		if ch == '"' {
			dst = append(dst, '"')
		}
		dst = appendASCII(dst, []byte{ch})
	}
	return append(dst, '"')
}
