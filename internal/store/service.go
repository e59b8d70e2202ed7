package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateService writes a new service and sets its Version to 1, CreatedAt and
// ChangedAt. It reports Conflict if there is one of this name.
func (db *DB) CreateService(ctx context.Context, actor telamon.Actor, s *telamon.Service) error {
	err := db.update(ctx, func(t *txn) error {
		s.Version, s.CreatedAt, s.ChangedAt = 1, timeOf(t.millis()), timeOf(t.millis())
		err := t.InsertService(ctx, queries.InsertServiceParams{
			ID: s.ID.String(), Name: s.Name, Version: int64(s.Version), PolicyTemplate: string(s.PolicyTemplate),
			SeriesID: s.Series.String(), DomainValidation: s.DomainValidation, StrictContent: s.StrictContent,
			StrictCaa: s.StrictCAA, StrictMpic: s.StrictMPIC, Unlimited: s.Unlimited, StickyTokens: s.StickyTokens,
			CreatedAt: t.millis(), ChangedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert service %s: %w", s.Name, err)
		}
		if err := t.changed(ctx, ChangeService, s.ID.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "service.create", Object: s.ID.String(), Result: "ok", After: serviceFacts(s),
		})
	})
	if violates(err, "service_name_is_unique") {
		return fault.New(fault.Conflict, "name_taken", "A service of this name exists.")
	}
	return err
}

// ChangeService replaces all of a service but its ID, name and CreatedAt, if it is
// still at s.Version. On success it sets s.Version to the new version, and
// s.ChangedAt. It reports NotFound, and Conflict if the version has moved on.
func (db *DB) ChangeService(ctx context.Context, actor telamon.Actor, s *telamon.Service) error {
	next := *s
	err := db.update(ctx, func(t *txn) error {
		row, err := t.Service(ctx, s.ID.String())
		if err != nil {
			return found(err, "service_not_found", "service")
		}
		before := serviceOf(row)
		err = mustChange(t.ChangeService(ctx, queries.ChangeServiceParams{
			ID: s.ID.String(), Version: int64(s.Version), PolicyTemplate: string(s.PolicyTemplate), SeriesID: s.Series.String(),
			DomainValidation: s.DomainValidation, StrictContent: s.StrictContent, StrictCaa: s.StrictCAA,
			StrictMpic: s.StrictMPIC, Unlimited: s.Unlimited, StickyTokens: s.StickyTokens, ChangedAt: t.millis(),
		}))
		if err != nil {
			return fmt.Errorf("change service %s: %w", s.ID, err)
		}
		next.Version, next.ChangedAt = s.Version+1, timeOf(t.millis())
		if err := t.changed(ctx, ChangeService, s.ID.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "service.update", Object: s.ID.String(), Result: "ok",
			Before: serviceFacts(&before), After: serviceFacts(&next),
		})
	})
	if err == nil {
		*s = next
	}
	return err
}

// serviceFacts is what the audit log keeps of a service.
func serviceFacts(s *telamon.Service) map[string]any {
	return map[string]any{
		"name": s.Name, "version": s.Version, "series": s.Series, "policy_template": string(s.PolicyTemplate),
		"domain_validation": s.DomainValidation, "strict_content": s.StrictContent, "strict_caa": s.StrictCAA,
		"strict_mpic": s.StrictMPIC, "unlimited": s.Unlimited, "sticky_tokens": s.StickyTokens,
	}
}

// Service returns a service. It reports NotFound.
func (db *DB) Service(ctx context.Context, id telamon.ServiceID) (telamon.Service, error) {
	row, err := db.queries().Service(ctx, id.String())
	return serviceOf(row), db.judge(ctx, found(err, "service_not_found", "service"))
}

// ServiceByName returns the service of a name. It reports NotFound.
func (db *DB) ServiceByName(ctx context.Context, name string) (telamon.Service, error) {
	row, err := db.queries().ServiceByName(ctx, name)
	return serviceOf(row), db.judge(ctx, found(err, "service_not_found", "service"))
}

// Services lists all services.
func (db *DB) Services(ctx context.Context, page Page) ([]telamon.Service, error) {
	rows, err := db.queries().Services(ctx, queries.ServicesParams{After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list services: %w", err))
	}
	return mapped(rows, serviceOf), nil
}

// PolicyVersion returns the JSON of an effective policy that SavePolicyVersion
// kept. It reports NotFound.
func (db *DB) PolicyVersion(ctx context.Context, version string) ([]byte, error) {
	model, err := db.queries().PolicyVersion(ctx, version)
	return []byte(model), db.judge(ctx, found(err, "policy_version_not_found", "policy version"))
}

func serviceOf(r queries.Service) telamon.Service {
	return telamon.Service{
		ID: telamon.ServiceID(r.ID), Name: r.Name, Version: int(r.Version), PolicyTemplate: []byte(r.PolicyTemplate),
		Series: telamon.SeriesID(r.SeriesID), DomainValidation: r.DomainValidation, StrictContent: r.StrictContent,
		StrictCAA: r.StrictCaa, StrictMPIC: r.StrictMpic, Unlimited: r.Unlimited, StickyTokens: r.StickyTokens,
		CreatedAt: timeOf(r.CreatedAt), ChangedAt: timeOf(r.ChangedAt),
	}
}
