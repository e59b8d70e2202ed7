package main

import "github.com/spf13/cobra"

func newAdmin() *cobra.Command { return group("admin", "Operate a running server") }
func newAudit() *cobra.Command { return group("audit", "Verify the audit log") }
