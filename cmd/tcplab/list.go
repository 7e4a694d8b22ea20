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
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("list takes no arguments: %w", errUsage)
	}
	table := tablewriter.NewTable(std.out)
	table.Header("name", "port", "what it shows")
	for _, s := range lab.Scenarios() {
		if err := table.Append(s.Name, fmt.Sprint(s.Port), s.About); err != nil {
			return fmt.Errorf("show the scenarios: %w", err)
		}
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("show the scenarios: %w", err)
	}
	return nil
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
