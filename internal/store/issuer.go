package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Hierarchy is a root and what it signed, with the series it was made for.
type Hierarchy struct {
	ID      telamon.HierarchyID
	Kind    telamon.HierarchyKind
	Name    string // unique
	Series  []telamon.Series
	Issuers []telamon.Issuer // parents before children
}

// CreateHierarchy writes a hierarchy with its series and issuers. It reports
// Conflict if a hierarchy or series of the name exists.
func (db *DB) CreateHierarchy(ctx context.Context, actor telamon.Actor, h Hierarchy) error {
	err := db.update(ctx, func(t *txn) error {
		err := t.InsertHierarchy(ctx, queries.InsertHierarchyParams{
			ID: h.ID.String(), Kind: string(h.Kind), Name: h.Name, CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert hierarchy %s: %w", h.Name, err)
		}
		for _, s := range h.Series {
			err := t.InsertSeries(ctx, queries.InsertSeriesParams{
				ID: s.ID.String(), HierarchyID: h.ID.String(), Name: s.Name, KeyType: s.KeyType,
				EkuFamily: string(s.EKUFamily), CreatedAt: t.millis(), Rotation: string(cmp.Or(s.Rotation, telamon.RotateQuarterly)),
				LeadDays: int64(cmp.Or(s.LeadDays, telamon.DefaultLeadDays)), LeafDays: int64(s.LeafDays),
			})
			if err != nil {
				return fmt.Errorf("insert series %s: %w", s.Name, err)
			}
		}
		for i := range h.Issuers {
			if err := t.insertIssuer(ctx, &h.Issuers[i]); err != nil {
				return err
			}
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "hierarchy.create", Object: h.ID.String(), Result: "ok",
			After: map[string]any{"name": h.Name, "kind": h.Kind},
		})
	})
	if violates(err, "hierarchy_name_is_unique") || violates(err, "issuer_series_name_is_unique") {
		return fault.New(fault.Conflict, "name_taken", "A hierarchy or series of this name exists.")
	}
	return err
}

func (t *txn) insertIssuer(ctx context.Context, i *telamon.Issuer) error {
	err := t.InsertIssuer(ctx, queries.InsertIssuerParams{
		ID: i.ID.String(), HierarchyID: i.Hierarchy.String(), SeriesID: textOrNil(i.Series), ParentID: textOrNil(i.Parent),
		Role: string(i.Role), Status: string(i.Status), KeyName: i.KeyName, Certificate: i.Certificate.Raw,
		CrlShards: int64(i.CRLShards), ActivateAt: i.ActivateAt.UnixMilli(), RetireAt: millisOrNil(i.RetireAt), CreatedAt: t.millis(),
		SignUntil: millisOrNil(i.SignUntil),
	})
	if err != nil {
		return fmt.Errorf("insert issuer %s: %w", i.ID, err)
	}
	return t.changed(ctx, ChangeIssuer, i.ID.String())
}

// Issuers returns every issuer and every series.
func (db *DB) Issuers(ctx context.Context) ([]telamon.Issuer, []telamon.Series, error) {
	issuers, series, err := readIssuers(ctx, db.queries())
	return issuers, series, db.judge(ctx, err)
}

func readIssuers(ctx context.Context, q *queries.Queries) ([]telamon.Issuer, []telamon.Series, error) {
	rows, err := q.Issuers(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read issuers: %w", err)
	}
	issuers := make([]telamon.Issuer, len(rows))
	for n, r := range rows {
		cert, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return nil, nil, fmt.Errorf("read certificate of issuer %s: %w", r.ID, err)
		}
		issuers[n] = telamon.Issuer{
			ID: telamon.IssuerID(r.ID), Hierarchy: telamon.HierarchyID(r.HierarchyID), Series: idOf[telamon.SeriesID](r.SeriesID),
			Parent: idOf[telamon.IssuerID](r.ParentID), Role: telamon.IssuerRole(r.Role), Status: telamon.IssuerStatus(r.Status),
			KeyName: r.KeyName, Certificate: cert, CRLShards: int(r.CrlShards), ActivateAt: timeOf(r.ActivateAt), RetireAt: timeOrZero(r.RetireAt),
			SignUntil: timeOrZero(r.SignUntil),
		}
	}
	if err := errors.Join(addCrosses(ctx, q, issuers), addRevoked(ctx, q, issuers)); err != nil {
		return nil, nil, err
	}
	list, err := q.AllSeries(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read series: %w", err)
	}
	series := make([]telamon.Series, len(list))
	for n, r := range list {
		series[n] = telamon.Series{
			ID: telamon.SeriesID(r.ID), Hierarchy: telamon.HierarchyID(r.HierarchyID), Name: r.Name, KeyType: r.KeyType,
			EKUFamily: telamon.EKUFamily(r.EkuFamily), Rotation: telamon.Rotation(r.Rotation), LeadDays: int(r.LeadDays), LeafDays: int(r.LeafDays),
		}
	}
	return issuers, series, nil
}

// addRevoked marks the issuing CAs whose certificate their root revoked.
func addRevoked(ctx context.Context, q *queries.Queries, issuers []telamon.Issuer) error {
	rows, err := q.RevokedCAs(ctx)
	if err != nil {
		return fmt.Errorf("read revoked issuers: %w", err)
	}
	for i := range issuers {
		serial, ok := telamon.SerialFromInt(issuers[i].Certificate.SerialNumber)
		issuers[i].Revoked = ok && slices.ContainsFunc(rows, func(r queries.RevokedCAsRow) bool {
			return r.IssuerID == issuers[i].Parent.String() && bytes.Equal(r.Serial, serial[:])
		})
	}
	return nil
}

// addCrosses adds the certificates of roots by other CAs.
func addCrosses(ctx context.Context, q *queries.Queries, issuers []telamon.Issuer) error {
	rows, err := q.CrossCertificates(ctx)
	if err != nil {
		return fmt.Errorf("read cross certificates: %w", err)
	}
	for _, r := range rows {
		cert, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return fmt.Errorf("read cross certificate %s: %w", r.ID, err)
		}
		signer, err := x509.ParseCertificate(r.SignerCertificate)
		if err != nil {
			return fmt.Errorf("read the signer of cross certificate %s: %w", r.ID, err)
		}
		for n := range issuers {
			if i := &issuers[n]; i.ID.String() == r.IssuerID {
				i.Crosses = append(i.Crosses, telamon.CrossCertificate{
					ID: telamon.CrossID(r.ID), Certificate: cert, SignerCertificate: signer, Active: r.Active,
				})
			}
		}
	}
	return nil
}

// Hierarchies returns every hierarchy, without its series and issuers.
func (db *DB) Hierarchies(ctx context.Context) ([]Hierarchy, error) {
	rows, err := db.queries().Hierarchies(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read hierarchies: %w", err))
	}
	out := make([]Hierarchy, len(rows))
	for n, r := range rows {
		out[n] = Hierarchy{ID: telamon.HierarchyID(r.ID), Kind: telamon.HierarchyKind(r.Kind), Name: r.Name}
	}
	return out, nil
}

// textOrNil returns nil for an empty ID.
func textOrNil[T ~string](id T) *string {
	if id == "" {
		return nil
	}
	s := string(id)
	return &s
}

// idOf returns the ID that a column holds, empty if it is null.
func idOf[T ~string](s *string) T {
	if s == nil {
		return ""
	}
	return T(*s)
}

// timeOrNil is a time in an audit event, which has null for none.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOrZero(millis *int64) time.Time {
	if millis == nil {
		return time.Time{}
	}
	return timeOf(*millis)
}
