package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter"

	"tcpstory/internal/lab"
)

// list shows every scenario.
func list(_ context.Context, args []string, std stdio) error {
	f := newFlags("list", "", "Show the scenarios, the server's port in each, and what it shows.", std)
	said := f.Bool("verdicts", false, "what is to be said of each that is in trouble, the\nroot cause first, by whose host is seen")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("list takes no arguments: %w", errUsage)
	}
	show := catalogue
	if *said {
		show = verdicts
	}
	heading, rows := show()
	table := tablewriter.NewTable(std.out)
	table.Header(heading)
	for _, row := range rows {
		if err := table.Append(row); err != nil {
			return fmt.Errorf("show the scenarios: %w", err)
		}
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("show the scenarios: %w", err)
	}
	return nil
}

// catalogue is a row for each scenario, under its heading.
func catalogue() (heading []string, rows [][]string) {
	for _, s := range lab.Cases() {
		rows = append(rows, []string{s.Name, fmt.Sprint(s.Port), s.About})
	}
	return []string{"name", "port", "what it shows"}, rows
}

// verdicts are what is to be said of each scenario in trouble, and from where.
func verdicts() (heading []string, rows [][]string) {
	for _, s := range lab.Cases() {
		name := s.Name
		for _, from := range lab.Vantages {
			for _, v := range s.Verdicts.At(from) {
				if !v.May {
					rows = append(rows, []string{name, from, v.Rule, string(v.Place) + ", " + howSurely(&v)})
					name = ""
				}
			}
		}
	}
	return []string{"name", "from", "rule", "place and certainty"}, rows
}

// howSurely is how much is to be claimed; a line more says where it is more, or less.
func howSurely(v *lab.Verdict) string {
	four, six := v.Claims(lab.IPv4), v.Claims(lab.IPv6)
	switch {
	case v.SureBy != "":
		return string(four) + "\n" + v.SureBy + ": " + string(lab.Surely)
	case six != four:
		return string(four) + "\nIPv6: " + string(six)
	case four == lab.Either:
		return string(lab.Probably) + "\nor " + string(lab.Surely)
	}
	return string(four)
}

// clean removes what dead labs left.
func clean(_ context.Context, args []string, std stdio) error {
	f := newFlags("clean", "", "Remove the namespaces of labs that are dead together with their clean-up.", std)
	if err := parse(f, args); err != nil {
		return err
	}
	names, err := lab.Sweep()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Fprintln(std.out, "nothing was left")
		return nil
	}
	fmt.Fprintln(std.out, "removed", strings.Join(names, " "))
	return nil
}
