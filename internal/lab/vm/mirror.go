package vm

import (
	"context"
	"errors"
	"regexp"
	"strings"
)

// mirrors are the two archives that Debian's suites live in, as this host's apt
// sources name them.
type mirrors struct{ main, security string }

// releaseFile is a line of "apt-get update --print-uris": the file that
// describes a suite, which is below its archive's address.
var releaseFile = regexp.MustCompile(`(?m)^'(\S+)/dists/([^/\s]+)/InRelease'`)

// findMirrors asks apt where it would update from, so that every form of
// sources and every mirror is understood. Nothing is fetched.
func findMirrors(ctx context.Context) (mirrors, error) {
	text, err := command(ctx, "", "apt-get", "update", "--print-uris")
	if err != nil {
		return mirrors{}, err
	}
	return parseMirrors(text)
}

// parseMirrors takes for Debian's the suites that come with a security suite:
// other archives in the sources have none.
func parseMirrors(text string) (mirrors, error) {
	at := map[string]string{}
	for _, m := range releaseFile.FindAllStringSubmatch(text, -1) {
		if at[m[2]] == "" {
			at[m[2]] = m[1]
		}
	}
	for suite, security := range at {
		base, ok := strings.CutSuffix(suite, "-security")
		if ok && at[base] != "" {
			return mirrors{main: at[base], security: security}, nil
		}
	}
	return mirrors{}, errors.New("this host's apt sources do not name a Debian suite and its -security suite: " +
		"add both to fetch kernels from that mirror")
}

// of returns the archive that holds a suite.
func (m mirrors) of(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return m.security
	}
	return m.main
}
