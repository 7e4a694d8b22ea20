package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// importLaw is the table of doc/ARCHITECTURE.md: which of our packages a room may import.
var importLaw = map[string][]string{
	"internal/tcp":      {},
	"internal/filter":   {"tcp"},
	"internal/kernel":   {"tcp", "filter"},
	"internal/host":     {},
	"internal/sockets":  {"tcp"},
	"internal/capture":  {"tcp"},
	"internal/record":   {"tcp"},
	"internal/timeline": {"tcp"},
	"internal/conn":     {"tcp"},
	"internal/flight":   {"tcp", "conn"},
	"internal/life":     {"tcp", "conn"},
	"internal/diagnose": {"tcp", "conn"},
	"internal/render":   {"tcp", "conn", "diagnose", "life"},
	"internal/lab":      {"tcp"},
	"internal/whytest":  {},
	"internal/bench":    {"lab", "tcp"},
	"cmd/tcpstory":      {"tcp", "filter", "kernel", "host", "sockets", "capture", "record", "timeline", "conn", "diagnose", "flight", "life", "render"},
	"cmd/tcplab":        {"lab", "bench", "kernel", "tcp"},
}

// onlyIn are modules that stay in one room.
var onlyIn = map[string][]string{
	"github.com/cilium/ebpf":            {"internal/kernel"},
	"github.com/google/nftables":        {"internal/lab"},
	"github.com/gopacket/gopacket":      {"internal/capture"},
	"github.com/olekukonko/tablewriter": {"internal/render", "internal/bench", "cmd/tcplab"},
	"C":                                 {"internal/filter", "cmd/tcpstory"},
}

func TestImportLaw(t *testing.T) {
	for room, allowed := range importLaw {
		files, err := filepath.Glob(filepath.Join("../..", room, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no Go files (%v)", room, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, path := range importsOf(t, file) {
				if own, ok := strings.CutPrefix(path, "tcpstory/internal/"); ok && !slices.Contains(allowed, own) {
					t.Errorf("%s imports %s: %s may import %v", file, path, room, allowed)
				}
				for module, rooms := range onlyIn {
					if (path == module || strings.HasPrefix(path, module+"/")) && !slices.Contains(rooms, room) {
						t.Errorf("%s imports %s, which belongs in %v", file, path, rooms)
					}
				}
			}
		}
	}
}

func TestImportLawKnowsEveryRoom(t *testing.T) {
	for _, parent := range []string{"internal", "cmd"} {
		entries, err := os.ReadDir(filepath.Join("../..", parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if room := parent + "/" + e.Name(); e.IsDir() && importLaw[room] == nil {
				t.Errorf("%s has no line in the import law", room)
			}
		}
	}
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}
