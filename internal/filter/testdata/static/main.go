// Command static compiles its arguments, two each: a link type and an
// expression. Tests build it as a fully static binary.
package main

import (
	"fmt"
	"os"
	"strconv"

	"tcpstory/internal/filter"
	"tcpstory/internal/tcp"
)

func main() {
	for i := 1; i+1 < len(os.Args); i += 2 {
		link, err := strconv.Atoi(os.Args[i])
		if err != nil {
			panic(err)
		}
		p, err := filter.Compile(os.Args[i+1], tcp.LinkType(link))
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Print(p)
	}
}
