package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
)

// adminFlags are those of every command of "telamon admin".
type adminFlags struct {
	config, socket, tokenFile string
	json                      bool
}

// tokenVariable holds the token of the operator who runs a command.
const tokenVariable = "TELAMON_OPERATOR_TOKEN"

// client returns a client of the server whose socket the flags name, for the operator
// whose token is given.
func (f *adminFlags) client() (*admin.Client, error) {
	client, err := f.dial()
	if err != nil {
		return nil, err
	}
	client.Token = os.Getenv(tokenVariable)
	if f.tokenFile != "" {
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return nil, err
		}
		client.Token = strings.TrimSpace(string(text))
	}
	return client, nil
}

func (f *adminFlags) dial() (*admin.Client, error) {
	if f.socket != "" {
		return admin.NewClient(f.socket), nil
	}
	cfg, err := app.LoadConfig(f.config)
	if err != nil {
		return nil, err
	}
	if cfg.AdminSocket == "" {
		return nil, usagef("the configuration turns the admin socket off")
	}
	return admin.NewClient(cfg.AdminSocket), nil
}

func newAdmin() *cobra.Command {
	f := &adminFlags{}
	cmd := group("admin", "Operate a running server",
		newAccount(f), newUser(f), newToken(f), newIdentity(f), newService(f), newSubscription(f), newQuota(f), newQuote(f),
		newCredential(f), newClientCertificate(f), newOnboard(f), newKeyPair(f), newIssuer(f), newCertificate(f), newAuditEvents(f), newStatus(f))
	cmd.Long = "Operate a running server over its admin socket, which its owner alone can open.\n" +
		"Accounts and services may be named by name or by ID. With --json, commands print what the API answers."
	return f.onSocket(cmd)
}

// onSocket adds the flags that name the server to a command.
func (f *adminFlags) onSocket(cmd *cobra.Command) *cobra.Command {
	flags := cmd.PersistentFlags()
	flags.StringVarP(&f.config, "config", "c", defaultConfig, "the server's configuration, which names the socket")
	flags.StringVar(&f.socket, "socket", "", "the socket, instead")
	flags.StringVar(&f.tokenFile, "token-file", "", "a file with the operator's token (default: the variable "+tokenVariable+")")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// A request is one call of the admin API.
type request struct {
	method, path string
	body         any
}

func get(path string) request            { return request{http.MethodGet, path, nil} }
func post(path string, body any) request { return request{http.MethodPost, path, body} }
func put(path string, body any) request  { return request{http.MethodPut, path, body} }
func remove(path string) request         { return request{http.MethodDelete, path, nil} }
func action(path, verb string) request   { return request{http.MethodPost, path + "/" + verb, nil} }
func path(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// command returns a command that makes one call and prints the answer: a list as a
// table of the columns, anything else as lines.
func (f *adminFlags) command(use, short string, args cobra.PositionalArgs, columns []string, build func(args []string) (request, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := build(args)
			if err != nil {
				return err
			}
			answer, err := f.call(cmd, req)
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), answer, columns)
		},
	}
}

func (f *adminFlags) call(cmd *cobra.Command, req request) (json.RawMessage, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	var answer json.RawMessage
	err = client.Do(cmd.Context(), req.method, req.path, req.body, &answer)
	return answer, err
}

// list returns a command that lists, page by page if it is told to.
func (f *adminFlags) list(use, short string, args cobra.PositionalArgs, columns []string, where func(args []string) string) *cobra.Command {
	var after string
	var limit int
	cmd := f.command(use, short, args, columns, func(args []string) (request, error) {
		query := url.Values{}
		if after != "" {
			query.Set("after", after)
		}
		if limit != 0 {
			query.Set("limit", itoa(limit))
		}
		at := where(args)
		if text := query.Encode(); text != "" {
			at += "?" + text
		}
		return get(at), nil
	})
	cmd.Flags().StringVar(&after, "after", "", "go on after this ID, the \"next\" of the last list")
	cmd.Flags().IntVar(&limit, "limit", 0, "how many, at most 1000 (default 100)")
	return cmd
}

// final adds a -yes flag to a command that cannot be undone.
func final(cmd *cobra.Command) *cobra.Command {
	var yes bool
	cmd.Flags().BoolVar(&yes, "yes", false, "do it: it cannot be undone")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !yes {
			return usagef("this cannot be undone: add --yes")
		}
		return nil
	}
	return cmd
}

// inAccount adds the flag that names the account.
func inAccount(cmd *cobra.Command, account *string) *cobra.Command {
	cmd.Flags().StringVar(account, "account", "", "the account, by name or ID")
	required(cmd, "account")
	return cmd
}

// readText reads a file, or the standard input if it is "-".
func readText(cmd *cobra.Command, path string) (string, error) {
	const limit = 4 << 20
	if path == "-" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), limit))
		return string(text), err
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// parseTime reads a time, or a date, which is its first second in UTC.
func parseTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usagef("--%s: %q is no time such as 2027-01-31 or 2027-01-31T12:00:00Z", flag, text)
}

// optionalEnd is optionalTime for the last instant of something: a date is its last second.
func optionalEnd(flag, text string) (*time.Time, error) {
	at, err := optionalTime(flag, text)
	if _, dateErr := time.Parse(time.DateOnly, text); err == nil && dateErr == nil {
		*at = at.Add(24*time.Hour - time.Second)
	}
	return at, err
}

// optionalTime is parseTime for a flag that may be left out.
func optionalTime(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	at, err := parseTime(flag, text)
	return &at, err
}
