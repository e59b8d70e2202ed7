// Package playground is "telamon dev": a whole platform in a directory, with an
// account, services and credentials for each way that clients work, and a small world
// of DNS, HTTP hosts and mail in which domains are validated; it performs its main job
// as a client of itself. It is for trying and for tests; the secrets of
// its directory protect nothing else.
//
// It makes everything through the use cases that operators have, and trusts its
// directory.
package playground

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/world"
)

// DefaultDir is where "telamon dev" keeps its playground, and the others are the
// addresses of a new one.
const (
	DefaultDir          = ".telamon-dev"
	DefaultListen       = "127.0.0.1:8443"
	DefaultStatusListen = "127.0.0.1:8080"
)

// The files of a playground, beside those of each credential.
const (
	descriptionFile = "dev.json"
	configFile      = "telamon.yaml"
	databaseFile    = "telamon.db"
	keysDir         = "keys"
	kekFile         = "kek"
	socketFile      = "admin.sock"
	serverCAFile    = "server-ca.pem"
)

// configMark is how the configuration of a playground begins.
const configMark = `# Written by "telamon dev".`

// Options say where and how a playground runs.
type Options struct {
	Dir          string
	Listen       string         // of the TLS faces; "" is the playground's own, or DefaultListen
	StatusListen string         // of plain HTTP; "" is the playground's own, or DefaultStatusListen
	Database     string         // a connection string; "" is SQLite in Dir
	Signer       string         // a file with keys.signer of the configuration of a new playground; "" is none
	Reset        bool           // removes what an earlier playground left in Dir
	Clock        telamon.Clock  // nil: the system's
	Out          io.Writer      // for people
	Log          io.Writer      // for the log
	Started      func(*Running) // called when the main job is done; may be nil
}

// Running is a playground that serves.
type Running struct {
	Description *Description
	App         *app.App
	World       *world.World
	Certificate string // the path of the certificate that the main job made
}

// Run makes the playground if it is not there, serves it, performs the main job,
// prints "ready: URL", and goes on until ctx ends; then it drains.
func Run(ctx context.Context, options Options) (err error) {
	if options.Clock == nil {
		options.Clock = telamon.SystemClock{}
	}
	p, err := open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.app.Close(), p.world.Close()) }()
	server, err := p.app.Listen(ctx, p.held...)
	if err != nil {
		return err
	}
	description, err := p.describe(ctx, server)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(serving) }()
	certificate, err := p.mainJob(ctx, description)
	if err != nil {
		stop()
		return errors.Join(err, <-stopped)
	}
	fmt.Fprintf(options.Out, "described in %s\nready: %s\n", filepath.Join(options.Dir, descriptionFile), description.AtlasURL)
	if options.Started != nil {
		options.Started(&Running{Description: description, App: p.app, World: p.world, Certificate: certificate})
	}
	return <-stopped
}

// playground is what Run works on.
type playground struct {
	Options
	app   *app.App
	cfg   app.Config
	log   *slog.Logger
	world *world.World   // in which domains are validated
	held  []net.Listener // of addresses that were settled before the server is there
}

// open opens the playground of a directory, and makes it first if it is not there
// or was not finished.
func open(ctx context.Context, options Options) (_ *playground, err error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	p := &playground{Options: options}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	_, err = os.Stat(p.path(descriptionFile))
	exists := err == nil
	if options.Reset || !exists {
		if err := p.mayBegin(ctx); err != nil {
			return nil, err
		}
		if err := p.clear(); err != nil {
			return nil, err
		}
		exists = false
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if !exists {
		p.Listen, p.StatusListen = cmp.Or(p.Listen, DefaultListen), cmp.Or(p.StatusListen, DefaultStatusListen)
		if err := p.writeConfig(); err != nil {
			return nil, err
		}
	}
	if p.cfg, err = app.LoadConfig(p.path(configFile)); err != nil {
		return nil, err
	}
	if options.Listen != "" {
		p.cfg.Listen = options.Listen
	}
	// A free port was settled once and for all: it is in every certificate.
	if _, port, err := net.SplitHostPort(options.StatusListen); err == nil && port != "0" && exists {
		p.cfg.StatusListen = options.StatusListen
	}
	if err := p.joinWorld(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.world.Close())
		}
	}()
	if err := p.cfg.Check(); err != nil {
		return nil, err
	}
	log, level, err := app.NewLog(p.cfg.Log, options.Log)
	if err != nil {
		return nil, err
	}
	p.log = log
	if !exists {
		fmt.Fprintf(p.Out, "making a playground in %s\n", p.Options.Dir)
		init := app.InitOptions{Organization: "Telamon Playground", MakeKEK: true}
		if err := app.Init(ctx, p.cfg, init, p.Clock, log); err != nil {
			return nil, err
		}
	}
	p.app, err = app.Open(ctx, p.cfg, p.Clock, log, level)
	return p, err
}

func (p *playground) path(name string) string { return filepath.Join(p.Dir, name) }

// mayBegin reports why a new playground must not take the place of what is there:
// the directory is that of something else, such as an installation with the same
// names of files, a server runs in it, or the database is taken. Nothing has been
// removed yet.
func (p *playground) mayBegin(ctx context.Context) error {
	entries, err := os.ReadDir(p.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		text, err := os.ReadFile(p.path(configFile))
		if err != nil || !bytes.HasPrefix(text, []byte(configMark)) {
			return fmt.Errorf("%s holds other things than a playground: give an empty directory", p.Dir)
		}
	}
	if conn, err := net.DialTimeout("unix", p.path(socketFile), time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("a server is running in %s", p.Dir)
	}
	if p.Database == "" {
		return nil
	}
	db, err := app.OpenDatabase(ctx, app.Config{Database: p.Database})
	if err != nil {
		return err
	}
	defer db.Close()
	hierarchies, err := db.Hierarchies(ctx)
	if err != nil {
		return err
	}
	if len(hierarchies) > 0 {
		return errors.New("the database belongs to an installation already: give an empty one")
	}
	return nil
}

// clear removes what an earlier playground made, and nothing else.
func (p *playground) clear() error {
	names := []string{
		descriptionFile, databaseFile, databaseFile + "-wal", databaseFile + "-shm", keysDir, kekFile, serverCAFile, certificateFile, configFile,
	}
	for _, c := range credentials {
		names = append(names, c.name+".crt", c.name+".key", "hvclient-"+c.name+".json")
	}
	for _, name := range names {
		if err := os.RemoveAll(p.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// release closes the listeners that no server took over.
func (p *playground) release() error {
	var errs []error
	for _, l := range p.held {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// writeConfig writes the configuration of a new playground. The address of the
// plain listener is settled here, since it goes into every certificate.
func (p *playground) writeConfig() error {
	status, err := p.settle(p.StatusListen)
	if err != nil {
		return fmt.Errorf("status address: %w", err)
	}
	host, _, err := net.SplitHostPort(p.Listen)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host != "" && host != "localhost" && host != "127.0.0.1" && host != "::1" && host != "0.0.0.0" && host != "::" {
		names = append(names, host)
	}
	database := p.Database
	if database == "" {
		database = "sqlite:" + p.path(databaseFile)
	}
	keys := map[string]any{"dir": p.path(keysDir), "kek_file": p.path(kekFile)}
	if p.Signer != "" {
		text, err := os.ReadFile(p.Signer)
		if err != nil {
			return fmt.Errorf("signer: %w", err)
		}
		var signer map[string]any
		if err := yaml.Unmarshal(text, &signer); err != nil {
			return fmt.Errorf("signer: %w", err)
		}
		keys["signer"] = signer
	}
	unlimited := map[string]any{"requests": 1_000_000, "window": "1s"}
	cfg := map[string]any{
		"database":        database,
		"keys":            keys,
		"listen":          p.Listen,
		"status_listen":   status,
		"metrics_listen":  "",
		"admin_socket":    p.path(socketFile),
		"status_base_url": "http://" + status,
		"names":           map[string]any{"atlas": names, "digicert_one": []string{digicertONEHost}},
		"mtls_key_types":  []string{"RSA", "EC-P256", "EC-P384"},
		"limits":          map[string]any{"credential_rate": 100000, "credential_burst": 100000, "account_rate": 100000, "account_burst": 100000, "address_rate": 10000, "address_burst": 10000},
		"digicert_one":    map[string]any{"burst": unlimited, "sustained": unlimited},
		"log":             map[string]any{"level": "warn", "format": "text"},
	}
	var text bytes.Buffer
	text.WriteString(configMark + " Changes are kept until --reset; what concerns\n# the world (validation, mail, names.portal) is set anew at each start.\n")
	if err := yaml.NewEncoder(&text).Encode(cfg); err != nil {
		return err
	}
	return writeFile(p.path(configFile), text.Bytes())
}

// settle returns the address with a free port in the place of port 0, and holds it
// until the server serves it. It is below those that systems give to whoever asks
// for any, since the playground must find it free again at each start.
func (p *playground) settle(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "0" {
		return address, err
	}
	const lowest, ports, attempts = 20_000, 12_000, 100
	for range attempts {
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(lowest+rand.N(ports)))); err == nil {
			p.held = append(p.held, listener)
			return listener.Addr().String(), nil
		}
	}
	return "", err
}
