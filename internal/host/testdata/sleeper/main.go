// Command sleeper is the only process of a container: it says that it is up and
// sleeps until its standard input ends. Tests build it as a static binary.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	fmt.Println("up")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		panic(err)
	}
}
