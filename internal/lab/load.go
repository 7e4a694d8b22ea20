package lab

import (
	"io"
)

func serveLoad(io.Reader, io.Writer) error     { return nil }
func serveSteering(io.Reader, io.Writer) error { return nil }
