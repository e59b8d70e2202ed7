package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// An IssuerPlan is an issuing CA that has a key and no certificate yet.
type IssuerPlan struct {
	ID         telamon.IssuerID // that the issuer will have
	Series     telamon.SeriesID
	Parent     telamon.IssuerID // the root that is to sign it
	KeyName    string
	ActivateAt time.Time
	Request    []byte // JSON: what is to be signed
	CreatedAt  time.Time
}

// PlanIssuer writes a plan. It reports Conflict if the series has one for this instant.
func (db *DB) PlanIssuer(ctx context.Context, actor telamon.Actor, p IssuerPlan) error {
	err := db.update(ctx, func(t *txn) error {
		issuers, err := t.line(ctx, p.Series)
		if err != nil {
			return err
		}
		for _, i := range issuers {
			if isInLine(i) && i.ActivateAt.Equal(p.ActivateAt) {
				return errInstantTaken()
			}
		}
		err = t.InsertIssuerPlan(ctx, queries.InsertIssuerPlanParams{
			ID: p.ID.String(), SeriesID: p.Series.String(), ParentID: p.Parent.String(), KeyName: p.KeyName,
			ActivateAt: p.ActivateAt.UnixMilli(), Request: string(p.Request), CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("plan issuer %s: %w", p.ID, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "issuer.plan", Object: p.ID.String(), Result: "ok",
			After: map[string]any{"series": p.Series, "key": p.KeyName, "activate_at": p.ActivateAt},
		})
	})
	if violates(err, "issuer_plan_instant_is_unique") {
		return errInstantTaken()
	}
	return err
}

func errInstantTaken() error {
	return fault.New(fault.Conflict, "issuer_planned", "Another issuing CA of the series starts at this instant.")
}

// IssuerPlans returns all plans, those that start first first.
func (db *DB) IssuerPlans(ctx context.Context) ([]IssuerPlan, error) {
	rows, err := db.queries().IssuerPlans(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read issuer plans: %w", err))
	}
	return mapped(rows, func(r queries.IssuerPlan) IssuerPlan {
		return IssuerPlan{
			ID: telamon.IssuerID(r.ID), Series: telamon.SeriesID(r.SeriesID), Parent: telamon.IssuerID(r.ParentID), KeyName: r.KeyName,
			ActivateAt: timeOf(r.ActivateAt), Request: []byte(r.Request), CreatedAt: timeOf(r.CreatedAt),
		}
	}), nil
}

// DropIssuerPlan deletes a plan. It reports Conflict if it is gone.
func (db *DB) DropIssuerPlan(ctx context.Context, actor telamon.Actor, id telamon.IssuerID) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.dropPlan(ctx, id); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{Actor: actor, Action: "issuer.retire", Object: id.String(), Result: "ok"})
	})
}

func (t *txn) dropPlan(ctx context.Context, id telamon.IssuerID) error {
	changed, err := t.Queries.DropIssuerPlan(ctx, id.String())
	if err != nil {
		return fmt.Errorf("drop issuer plan %s: %w", id, err)
	}
	if changed != 1 {
		return fault.New(fault.Conflict, "plan_not_found", "The issuing CA is not planned any more.")
	}
	return nil
}

// AddIssuer makes a plan an issuer with its certificate, which is planned, and writes
// when the one before it hands over. It reports Conflict if the plan is gone.
func (db *DB) AddIssuer(ctx context.Context, actor telamon.Actor, i *telamon.Issuer) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.dropPlan(ctx, i.ID); err != nil {
			return err
		}
		added := *i
		added.Status, added.RetireAt, added.SignUntil = telamon.IssuerPlanned, time.Time{}, time.Time{}
		if err := t.insertIssuer(ctx, &added); err != nil {
			return err
		}
		if err := t.succeed(ctx, i.Series); err != nil {
			return err
		}
		serial, _ := telamon.SerialFromInt(i.Certificate.SerialNumber)
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "issuer.create", Object: i.ID.String(), Result: "ok", After: map[string]any{
				"series": i.Series, "serial": serial.String(), "not_after": i.Certificate.NotAfter, "activate_at": i.ActivateAt,
			},
		})
	})
}

// line returns the issuing CAs of a series, the one that starts first first. Others of
// the same series wait until the transaction ends.
func (t *txn) line(ctx context.Context, series telamon.SeriesID) ([]telamon.Issuer, error) {
	if _, err := t.LockSeries(ctx, series.String()); err != nil {
		return nil, found(err, "series_not_found", "issuer series")
	}
	all, _, err := readIssuers(ctx, t.Queries)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i telamon.Issuer) bool { return i.Series != series })
	slices.SortFunc(all, func(a, b telamon.Issuer) int { return a.ActivateAt.Compare(b.ActivateAt) })
	return all, nil
}

// isInLine reports whether an issuing CA is, or will be, the active one.
func isInLine(i telamon.Issuer) bool {
	return i.Status == telamon.IssuerActive || i.Status == telamon.IssuerPlanned
}

// succeed writes when each issuing CA of a series hands over: when the next one starts.
func (t *txn) succeed(ctx context.Context, series telamon.SeriesID) error {
	line, err := t.line(ctx, series)
	if err != nil {
		return err
	}
	line = slices.DeleteFunc(line, func(i telamon.Issuer) bool { return !isInLine(i) })
	for n, i := range line {
		var retire, until time.Time
		if n+1 < len(line) {
			retire = line[n+1].ActivateAt
			until = retire.Add(telamon.TokenReach)
		}
		if i.RetireAt.Equal(retire) && i.SignUntil.Equal(until) {
			continue
		}
		changed, err := t.SetSuccession(ctx, queries.SetSuccessionParams{
			ID: i.ID.String(), RetireAt: millisOrNil(retire), SignUntil: millisOrNil(until),
		})
		if err != nil || changed != 1 {
			return fmt.Errorf("write the succession of %s: %d rows: %w", i.ID, changed, err)
		}
		if err := t.changed(ctx, ChangeIssuer, i.ID.String()); err != nil {
			return err
		}
	}
	return nil
}

// errIssuerState is the fault of an issuer that is not in the state that a change
// expects.
func errIssuerState() error {
	return fault.New(fault.Conflict, "issuer_state", "The issuing CA is not in the state that this expects.")
}

// find returns an issuer of the line and its place.
func find(line []telamon.Issuer, id telamon.IssuerID) (int, error) {
	n := slices.IndexFunc(line, func(i telamon.Issuer) bool { return i.ID == id })
	if n < 0 {
		return 0, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
	}
	return n, nil
}

// RescheduleIssuer moves the start of a planned issuing CA. It reports NotFound, and
// Conflict if it is not planned any more or another one starts then.
func (db *DB) RescheduleIssuer(ctx context.Context, actor telamon.Actor, series telamon.SeriesID, id telamon.IssuerID, at time.Time) error {
	return db.update(ctx, func(t *txn) error {
		line, err := t.line(ctx, series)
		if err != nil {
			return err
		}
		n, err := find(line, id)
		if err != nil {
			return err
		}
		for _, i := range line {
			if i.ID != id && isInLine(i) && i.ActivateAt.Equal(at) {
				return errInstantTaken()
			}
		}
		before := line[n].ActivateAt
		if !t.now.Before(before) || !t.now.Before(at) { // it has started by the clock, or would have
			return errIssuerState()
		}
		changed, err := t.SetActivation(ctx, queries.SetActivationParams{ID: id.String(), ActivateAt: at.UnixMilli()})
		if err != nil {
			return fmt.Errorf("reschedule issuer %s: %w", id, err)
		}
		if changed != 1 {
			return errIssuerState()
		}
		if err := t.succeed(ctx, series); err != nil {
			return err
		}
		return t.moved(ctx, actor, "issuer.reschedule", id, map[string]any{"activate_at": before}, map[string]any{"activate_at": at})
	})
}

// moved records that an issuer changed, for replicas and in the audit log.
func (t *txn) moved(ctx context.Context, actor telamon.Actor, action string, id telamon.IssuerID, before, after map[string]any) error {
	if err := t.changed(ctx, ChangeIssuer, id.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{Actor: actor, Action: action, Object: id.String(), Result: "ok", Before: before, After: after})
}

// move changes the status of an issuer, and reports Conflict if it is another one.
func (t *txn) move(ctx context.Context, actor telamon.Actor, action string, id telamon.IssuerID, from, to telamon.IssuerStatus) error {
	changed, err := t.MoveIssuer(ctx, queries.MoveIssuerParams{ID: id.String(), FromStatus: string(from), ToStatus: string(to)})
	if err != nil {
		return fmt.Errorf("make issuer %s %s: %w", id, to, err)
	}
	if changed != 1 {
		return errIssuerState()
	}
	return t.moved(ctx, actor, action, id, map[string]any{"status": from}, map[string]any{"status": to})
}

// RecordSwitches writes down, for one series, the switches whose instant has passed:
// what every replica has been doing by the clock since. It returns how many there were.
func (db *DB) RecordSwitches(ctx context.Context, actor telamon.Actor, series telamon.SeriesID) (switches int, err error) {
	err = db.update(ctx, func(t *txn) error {
		switches, err = t.recordSwitches(ctx, actor, series)
		return err
	})
	return switches, err
}

func (t *txn) recordSwitches(ctx context.Context, actor telamon.Actor, series telamon.SeriesID) (switches int, err error) {
	line, err := t.line(ctx, series)
	if err != nil {
		return 0, err
	}
	var active *telamon.Issuer
	for n := range line {
		i := &line[n]
		if i.Status == telamon.IssuerActive {
			active = i
		}
		if i.Status != telamon.IssuerPlanned || t.now.Before(i.ActivateAt) {
			continue
		}
		if active != nil {
			if err := t.move(ctx, actor, "issuer.retire", active.ID, telamon.IssuerActive, telamon.IssuerRetired); err != nil {
				return 0, err
			}
		}
		if err := t.move(ctx, actor, "issuer.activate", i.ID, telamon.IssuerPlanned, telamon.IssuerActive); err != nil {
			return 0, err
		}
		active = i
		switches++
	}
	return switches, nil
}

// recorded is line after what the clock has done is recorded.
func (t *txn) recorded(ctx context.Context, actor telamon.Actor, series telamon.SeriesID) ([]telamon.Issuer, error) {
	if _, err := t.recordSwitches(ctx, actor, series); err != nil {
		return nil, err
	}
	return t.line(ctx, series)
}

// RotateNow starts a planned issuing CA now, and retires the active one. With endTokens
// that one signs for no token any more. It reports NotFound, and Conflict if the issuer
// is not planned.
func (db *DB) RotateNow(ctx context.Context, actor telamon.Actor, series telamon.SeriesID, next telamon.IssuerID, endTokens bool) error {
	return db.update(ctx, func(t *txn) error {
		line, err := t.recorded(ctx, actor, series)
		if err != nil {
			return err
		}
		n, err := find(line, next)
		if err != nil {
			return err
		}
		if line[n].Status != telamon.IssuerPlanned {
			return errIssuerState()
		}
		for _, i := range line {
			if i.Status == telamon.IssuerActive {
				if err := t.end(ctx, actor, &i, endTokens); err != nil {
					return err
				}
			}
		}
		changed, err := t.SetActivation(ctx, queries.SetActivationParams{ID: next.String(), ActivateAt: t.millis()})
		if err != nil || changed != 1 {
			return fmt.Errorf("start issuer %s: %d rows: %w", next, changed, err)
		}
		if err := t.move(ctx, actor, "issuer.activate", next, telamon.IssuerPlanned, telamon.IssuerActive); err != nil {
			return err
		}
		return t.succeed(ctx, series)
	})
}

// end retires an issuing CA at the transaction's time.
func (t *txn) end(ctx context.Context, actor telamon.Actor, i *telamon.Issuer, endTokens bool) error {
	var retire, until time.Time
	switch {
	case i.Status == telamon.IssuerRetired:
		retire = i.RetireAt
	case i.Status == telamon.IssuerActive: // a planned one never was, and has no tokens
		retire, until = t.now, t.now.Add(telamon.TokenReach)
		if !retire.After(i.ActivateAt) { // by a clock that is behind
			retire = i.ActivateAt.Add(time.Millisecond)
		}
	}
	if endTokens {
		until = time.Time{}
	}
	changed, err := t.EndIssuer(ctx, queries.EndIssuerParams{
		ID: i.ID.String(), FromStatus: string(i.Status), RetireAt: millisOrNil(retire), SignUntil: millisOrNil(until),
	})
	if err != nil {
		return fmt.Errorf("retire issuer %s: %w", i.ID, err)
	}
	if changed != 1 {
		return errIssuerState()
	}
	return t.moved(ctx, actor, "issuer.retire", i.ID, map[string]any{"status": i.Status},
		map[string]any{"status": telamon.IssuerRetired, "end_tokens": endTokens})
}

// RetireIssuer retires an issuing CA now, whether there is a next one or not: a planned
// one, which then never starts, the active one, or of one that is retired the tokens
// that are bound to it. It reports NotFound, and Conflict if there is nothing to end.
func (db *DB) RetireIssuer(ctx context.Context, actor telamon.Actor, series telamon.SeriesID, id telamon.IssuerID, endTokens bool) error {
	return db.update(ctx, func(t *txn) error {
		line, err := t.recorded(ctx, actor, series)
		if err != nil {
			return err
		}
		n, err := find(line, id)
		if err != nil {
			return err
		}
		i := &line[n]
		switch {
		case i.Status == telamon.IssuerActive || i.Status == telamon.IssuerPlanned:
			err = t.end(ctx, actor, i, endTokens)
		case i.Status == telamon.IssuerRetired && endTokens && t.now.Before(i.SignUntil):
			err = t.end(ctx, actor, i, true)
		default:
			err = errIssuerState()
		}
		if err != nil {
			return err
		}
		return t.succeed(ctx, series)
	})
}

// ExpireIssuer notes that the key of a retired issuing CA is destroyed. It reports
// Conflict if the issuer is not retired.
func (db *DB) ExpireIssuer(ctx context.Context, actor telamon.Actor, id telamon.IssuerID) error {
	return db.update(ctx, func(t *txn) error {
		return t.move(ctx, actor, "issuer.destroy", id, telamon.IssuerRetired, telamon.IssuerExpired)
	})
}

// SetSchedule changes how a series is rotated. It reports NotFound.
func (db *DB) SetSchedule(ctx context.Context, actor telamon.Actor, s telamon.Series) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.SetSeriesSchedule(ctx, queries.SetSeriesScheduleParams{
			ID: s.ID.String(), Rotation: string(s.Rotation), LeadDays: int64(s.LeadDays), LeafDays: int64(s.LeafDays),
		})
		if err != nil {
			return fmt.Errorf("set the schedule of series %s: %w", s.Name, err)
		}
		if changed != 1 {
			return fault.New(fault.NotFound, "series_not_found", "There is no such issuer series.")
		}
		return t.moved(ctx, actor, "issuer.schedule", telamon.IssuerID(s.ID), nil, map[string]any{
			"rotation": s.Rotation, "lead_days": s.LeadDays, "leaf_days": s.LeafDays,
		})
	})
}

// A Notice tells of a switch so many days before it.
type Notice struct {
	Issuer     telamon.IssuerID // that starts, or that of the plan
	ActivateAt time.Time
	Days       int
	Account    telamon.AccountID // whose people are told; empty: the operators
}

// Notices returns the notices of switches to come that were given.
func (db *DB) Notices(ctx context.Context) ([]Notice, error) {
	rows, err := db.queries().IssuerNotices(ctx, db.clock.Now().UnixMilli())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read issuer notices: %w", err))
	}
	return mapped(rows, func(r queries.IssuerNotice) Notice {
		return Notice{telamon.IssuerID(r.IssuerID), timeOf(r.ActivateAt), int(r.Days), telamon.AccountID(r.AccountID)}
	}), nil
}

// GiveNotice writes a notice with its mails. It reports Conflict if it was given before.
func (db *DB) GiveNotice(ctx context.Context, actor telamon.Actor, n Notice, mails []Mail) error {
	err := db.update(ctx, func(t *txn) error {
		err := t.InsertIssuerNotice(ctx, queries.InsertIssuerNoticeParams{
			IssuerID: n.Issuer.String(), ActivateAt: n.ActivateAt.UnixMilli(), Days: int64(n.Days), AccountID: n.Account.String(),
			CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("give notice of %s: %w", n.Issuer, err)
		}
		if err := t.addExtra(ctx, Extra{Mails: mails}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: n.Account, Action: "issuer.notice", Object: n.Issuer.String(), Result: "ok",
			After: map[string]any{"activate_at": n.ActivateAt, "days": n.Days, "mails": len(mails)},
		})
	})
	if violates(err, "issuer_notice_is_given_once") {
		return fault.New(fault.Conflict, "notice_given", "The notice was given before.")
	}
	return err
}

// AddCross keeps a certificate of a root by another CA: a root of ours, or a foreign one
// if signer is empty. It reports Conflict if it is
// there.
func (db *DB) AddCross(ctx context.Context, actor telamon.Actor, root, signer telamon.IssuerID, c telamon.CrossCertificate) error {
	err := db.update(ctx, func(t *txn) error {
		err := t.InsertCrossCertificate(ctx, queries.InsertCrossCertificateParams{
			ID: c.ID.String(), IssuerID: root.String(), SignerID: textOrNil(signer), Certificate: c.Certificate.Raw,
			SignerCertificate: c.SignerCertificate.Raw, CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("add a cross certificate of %s: %w", root, err)
		}
		return t.moved(ctx, actor, "issuer.cross_sign", root, nil, map[string]any{
			"cross": c.ID, "signer": c.SignerCertificate.Subject.String(), "not_after": c.Certificate.NotAfter,
		})
	})
	if violates(err, "cross_certificate_is_unique") {
		return fault.New(fault.Conflict, "cross_known", "This certificate is kept already.")
	}
	return err
}

// UseCross makes the trust chain of a root go by a cross certificate, or by the root
// itself if id is empty. It reports NotFound if the root has no such certificate.
func (db *DB) UseCross(ctx context.Context, actor telamon.Actor, root telamon.IssuerID, id telamon.CrossID) error {
	return db.update(ctx, func(t *txn) error {
		rows, err := t.CrossCertificates(ctx)
		if err != nil {
			return fmt.Errorf("read cross certificates: %w", err)
		}
		known := slices.ContainsFunc(rows, func(r queries.CrossCertificate) bool { return r.ID == id.String() && r.IssuerID == root.String() })
		if id != "" && !known {
			return fault.New(fault.NotFound, "cross_not_found", "The root has no such cross certificate.")
		}
		if _, err := t.ClearActiveCross(ctx, root.String()); err != nil {
			return fmt.Errorf("use cross certificate %s: %w", id, err)
		}
		if id != "" {
			if _, err := t.SetActiveCross(ctx, queries.SetActiveCrossParams{ID: id.String(), IssuerID: root.String()}); err != nil {
				return fmt.Errorf("use cross certificate %s: %w", id, err)
			}
		}
		return t.moved(ctx, actor, "issuer.use_chain", root, nil, map[string]any{"cross": id})
	})
}

// AccountsOfSeries returns the active accounts that subscribe to a service of a series.
func (db *DB) AccountsOfSeries(ctx context.Context, series telamon.SeriesID) ([]telamon.AccountID, error) {
	rows, err := db.queries().AccountsOfSeries(ctx, series.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the accounts of series %s: %w", series, err))
	}
	return mapped(rows, func(id string) telamon.AccountID { return telamon.AccountID(id) }), nil
}
