package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// The issuer series that Init makes.
const (
	SeriesClientRSA = "client-auth-rsa"
	SeriesClientEC  = "client-auth-ec"
	SeriesTLSRSA    = "tls-rsa"
	SeriesTLSEC     = "tls-ec"
	SeriesSigning   = "signing-rsa"
	SeriesStrictRSA = "strict-tls-rsa"
	SeriesStrictEC  = "strict-tls-ec"
)

// InitOptions say what Init makes.
type InitOptions struct {
	Country      string // in the names of the CAs, two letters; "" leaves it out
	Organization string // in the names of the CAs; "" leaves it out
	StrictTLS    bool   // make the hierarchy that follows the rules of public CAs too
	MakeKEK      bool   // make the file that keys.kek_file names, if there is none
}

// Init makes a new installation: the keystore, the database's schema, and the
// hierarchies with their keys, in the signer if there is one. It refuses to touch a
// keystore that exists.
func Init(ctx context.Context, cfg Config, options InitOptions, clock telamon.Clock, log *slog.Logger) error {
	if err := checkStatusBaseURL(cfg.StatusBaseURL); err != nil {
		return fmt.Errorf("status_base_url: %w", err)
	}
	if !isCountry(options.Country) && options.Country != "" {
		return fmt.Errorf("the country %q is no code of two capital letters (ISO 3166-1)", options.Country)
	}
	if options.MakeKEK && cfg.Keys.KEK == "" {
		if err := makeKEK(cfg.Keys.KEKFile); err != nil {
			return err
		}
	}
	kek, err := cfg.Keys.kek()
	if err != nil {
		return err
	}
	client, err := cfg.Keys.Signer.client()
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
		if err := client.Health(); err != nil {
			return fmt.Errorf("keys.signer: %w", err)
		}
	}
	if path, ok := strings.CutPrefix(cfg.Database, "sqlite:"); ok {
		if err := makeDatabaseFile(path); err != nil {
			return fmt.Errorf("make the database: %w", err)
		}
	}
	db, err := store.Open(ctx, store.Config{URL: cfg.Database, Clock: clock, Log: log, Create: true})
	if err != nil {
		return err
	}
	defer db.Close()
	existing, err := db.Hierarchies(ctx)
	if err != nil {
		return err
	}
	if len(existing) > 0 {
		return errors.New("the database belongs to an installation already")
	}
	keys, err := keystore.Create(keystore.Config{Dir: cfg.Keys.Dir, KEK: kek, Clock: clock})
	if err != nil {
		return err
	}
	defer keys.Close()
	linter, err := cfg.Lint.linter(ctx, log)
	if err != nil {
		return err
	}
	engine := issuance.New(issuance.Config{
		Keys: caKeys(keys, client), Clock: clock, Log: log, StatusBaseURL: cfg.StatusBaseURL, Lint: linter.Check,
	})
	for _, spec := range hierarchies(options) {
		made, err := engine.CreateHierarchy(ctx, spec)
		if err != nil {
			return err
		}
		err = db.CreateHierarchy(ctx, System, store.Hierarchy{
			ID: made.ID, Kind: spec.Kind, Name: spec.Name, Series: made.Series, Issuers: made.Issuers,
		})
		if err != nil {
			return err
		}
		log.InfoContext(ctx, "made hierarchy", "name", spec.Name, "series", len(made.Series))
	}
	return nil
}

func isCountry(text string) bool {
	return len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z'
}

// makeDatabaseFile makes the file that SQLite will fill, for its owner alone: SQLite
// would let others read it. What it puts beside the file has the file's mode.
func makeDatabaseFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// makeKEK writes a new key-encryption key, readable by its owner alone, unless there
// is one. When it returns nil, the key is durable: nothing may be encrypted under
// one that a power failure takes.
func makeKEK(path string) error {
	if path == "" {
		return errors.New("keys.kek_file is required")
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make key-encryption key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make key-encryption key: %w", err)
	}
	_, text := keystore.NewKEK()
	if err := writeNew(path, text+"\n"); err != nil {
		return fmt.Errorf("make key-encryption key: %w", err)
	}
	return nil
}

// writeNew writes a file that must not exist, for its owner alone, and durably. It
// leaves no file that is not whole.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// hierarchies are those of DESIGN.md, Section 7. An issuing CA lives for its
// longest leaf, its time as the active one, and 90 days: seven years where leaves
// live five and the CA is exchanged each year, three where leaves live 396 days.
func hierarchies(options InitOptions) []issuance.HierarchySpec {
	series := func(name string, keyType tbs.KeyType, family telamon.EKUFamily, years int) issuance.SeriesSpec {
		return issuance.SeriesSpec{Name: name, KeyType: keyType, EKUFamily: family, Years: years, CRLShards: 1}
	}
	specs := []issuance.HierarchySpec{
		{Name: "client-auth", Kind: telamon.HierarchyClientAuth, Series: []issuance.SeriesSpec{
			series(SeriesClientRSA, tbs.RSA3072, telamon.EKUClientAuth, 7), series(SeriesClientEC, tbs.ECP256, telamon.EKUClientAuth, 7)}},
		{Name: "tls", Kind: telamon.HierarchyTLS, Series: []issuance.SeriesSpec{
			series(SeriesTLSRSA, tbs.RSA3072, telamon.EKUTLS, 3), series(SeriesTLSEC, tbs.ECP256, telamon.EKUTLS, 3)}},
		{Name: "signing", Kind: telamon.HierarchySigning, Series: []issuance.SeriesSpec{
			series(SeriesSigning, tbs.RSA3072, telamon.EKUSigning, 7)}},
	}
	for i := range specs[0].Series {
		specs[0].Series[i].Rotation = telamon.RotateYearly
	}
	if options.StrictTLS {
		specs = append(specs, issuance.HierarchySpec{
			Name: "strict-tls", Kind: telamon.HierarchyStrictTLS, Series: []issuance.SeriesSpec{
				series(SeriesStrictRSA, tbs.RSA3072, telamon.EKUServerAuth, 3), series(SeriesStrictEC, tbs.ECP256, telamon.EKUServerAuth, 3)}})
	}
	for i := range specs {
		specs[i].Organization, specs[i].RootKeyType, specs[i].RootYears = options.Organization, tbs.ECP384, 20
		specs[i].Country = options.Country
		if specs[i].Kind == telamon.HierarchyStrictTLS {
			// Both are required there (BR 7.1.2.10.2). XX is the code of no country
			// (BR 7.1.2.7.2).
			specs[i].Country = cmp.Or(options.Country, "XX")
			specs[i].Organization = cmp.Or(options.Organization, "Telamon")
			specs[i].Series[0].CRLShards, specs[i].Series[1].CRLShards = 16, 16
		}
	}
	return specs
}
