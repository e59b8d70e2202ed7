package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// maxBatch is the largest number of units in one commit.
const maxBatch = 64

// A unit is what one waiter wants written: it is committed with others, and the
// waiter is told the outcome of its own.
type unit struct {
	draw   telamon.SubscriptionID // draws one certificate of quota; "" draws none
	cert   *telamon.Certificate   // inserted with blob
	blob   Blob
	terms  []int64 // that cert is found by
	counts []count
	shards []shardKey // that a revocation marks
	event  telamon.Event
	leaf   []byte // event, encoded

	// apply does what cannot be summed over a batch. A fault that it returns
	// refuses this unit alone, and then it must not have written anything. Units
	// that draw quota have none.
	apply func(context.Context, *txn) error
	key   string // what apply locks: units are applied in this order

	ctx     context.Context // the waiter's
	broken  error           // why the unit can never be written: its rows break a rule, or nobody waits
	refused error           // why the unit was not written although the batch was
	done    chan error
}

// committer groups the units of concurrent requests: many share one transaction
// and so one sync of the disk. While one batch is written the next one gathers.
type committer struct {
	db *DB
	in chan *unit
	wg sync.WaitGroup

	mu      sync.RWMutex
	stopped bool

	rows batchRows // of the batch in work; owned by run
}

// batchRows are the columns of the rows of a batch, by table.
type batchRows struct {
	certs, ders, terms, evidence, requesters, events, activity []any
	sums                                                       counts
	shards                                                     map[shardKey]bool // that were revised
}

func (r *batchRows) reset() {
	for _, rows := range []*[]any{&r.certs, &r.ders, &r.terms, &r.evidence, &r.requesters, &r.events, &r.activity} {
		clear(*rows)
		*rows = (*rows)[:0]
	}
	r.sums.reset()
	clear(r.shards)
}

func newCommitter(db *DB) *committer {
	c := &committer{db: db, in: make(chan *unit, maxBatch)}
	c.wg.Go(c.run)
	return c
}

// stop commits what was accepted and ends the committer.
func (c *committer) stop() {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.in)
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// commit hands u to the committer and waits for its own outcome. When it returns
// nil, u is durable. If ctx ends first, u may or may not be written; of a
// certificate, which is signed by then, at least the audit event is.
func (c *committer) commit(ctx context.Context, u *unit) error {
	u.ctx = ctx
	u.event.ID = telamon.NewEventID()
	if u.event.At.IsZero() {
		u.event.At = c.db.clock.Now().UTC()
	}
	var err error
	if u.leaf, err = encodeEvent(u.event); err != nil {
		return err
	}
	u.done = make(chan error, 1)
	if err := c.send(ctx, u); err != nil {
		return err
	}
	select {
	case err := <-u.done:
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != codeCanceled {
			return err
		}
	case <-ctx.Done():
	}
	return c.db.judge(ctx, ctx.Err())
}

// send puts u into the queue. While it does, or while what it left behind does,
// the lock keeps stop from closing the queue.
func (c *committer) send(ctx context.Context, u *unit) error {
	c.mu.RLock()
	if c.stopped {
		c.mu.RUnlock()
		return unavailable(errClosed)
	}
	select {
	case c.in <- u:
		c.mu.RUnlock()
		return nil
	case <-ctx.Done():
	}
	if u.cert == nil {
		c.mu.RUnlock()
		return c.db.judge(ctx, ctx.Err())
	}
	go func() {
		defer c.mu.RUnlock()
		c.in <- u
	}()
	return c.db.judge(ctx, ctx.Err())
}

func (c *committer) run() {
	for first := range c.in {
		batch := append(make([]*unit, 0, maxBatch), first)
	gather:
		for len(batch) < maxBatch {
			select {
			case u, ok := <-c.in:
				if !ok {
					break gather
				}
				batch = append(batch, u)
			default:
				break gather
			}
		}
		for _, u := range batch {
			u.giveUp()
		}
		c.write(batch)
	}
}

// codeCanceled is in the audit event of a unit for which nobody waited any more.
const codeCanceled = "canceled"

// giveUp refuses u if nobody waits for it any more, so that no quota is drawn for an
// answer that cannot be given. Its audit event is written: a certificate is signed
// by then. A unit that is nothing but an event is written as it is.
func (u *unit) giveUp() {
	err := u.ctx.Err()
	if err == nil || u.cert == nil && u.apply == nil && len(u.counts) == 0 && u.draw == "" {
		return
	}
	u.broken = &fault.Fault{
		Kind: fault.Unavailable, Code: codeCanceled, Detail: "The request ended before its outcome was written.", Cause: err,
	}
}

// write commits the batch and answers its waiters. If a unit's own rows break a
// rule, the batch is halved until that unit is alone, so that the others commit;
// of that unit only the audit event is written.
func (c *committer) write(batch []*unit) {
	err := c.db.unknown.open()
	if err == nil {
		err = c.db.again(context.Background(), func() error { return c.writeOnce(batch) })
	}
	if err != nil && isConstraint(err) && len(batch) > 1 {
		half := len(batch) / 2
		c.write(batch[:half])
		c.write(batch[half:])
		return
	}
	if err != nil && isConstraint(err) && batch[0].broken == nil {
		batch[0].broken = err
		c.write(batch)
		return
	}
	err = c.db.noteOutcome(context.Background(), err)
	for _, u := range batch {
		u.done <- cmp.Or(err, u.refused)
	}
}

// writeOnce runs one transaction over the batch and commits it: see [DB.commit].
func (c *committer) writeOnce(batch []*unit) error {
	ctx, cancel := context.WithTimeout(context.Background(), transactionLimit)
	defer cancel()
	t, end, err := c.db.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if c.db.engine == engineSQLite {
		ctx = context.Background() // see writer.beginTurn
	}
	c.rows.reset()
	if err := c.rows.write(ctx, t, batch); err != nil {
		return err
	}
	return c.db.commit(ctx, t, end, func() []string {
		objects := make([]string, len(batch))
		for i, u := range batch {
			objects[i] = u.event.Action + " " + u.event.Object
		}
		return objects
	})
}

// write writes the rows of the batch: first what can refuse a unit, then the rows
// of those that are left, then the sums.
func (r *batchRows) write(ctx context.Context, t *txn, batch []*unit) error {
	slices.SortStableFunc(batch, func(a, b *unit) int { return strings.Compare(a.key, b.key) })
	for _, u := range batch {
		u.refused = u.broken
	}
	if err := t.lockPrecertificates(ctx, batch); err != nil {
		return err
	}
	if err := t.refuseBlocked(ctx, batch); err != nil {
		return err
	}
	if err := drawQuota(ctx, t, batch); err != nil {
		return err
	}
	if err := t.issuePrecertificates(ctx, batch); err != nil {
		return err
	}
	for _, u := range batch {
		if u.refused == nil && u.apply != nil {
			if err := u.apply(ctx, t); isFault(err) {
				u.refused = err
			} else if err != nil {
				return err
			}
		}
		if err := r.add(u); err != nil {
			return err
		}
	}
	for _, rows := range []struct {
		into *table
		args []any
	}{
		{certificateTable, r.certs}, {derTable, r.ders}, {termTable, r.terms}, {evidenceTable, r.evidence},
		{requesterTable, r.requesters}, {eventTable, r.events}, {activityTable, r.activity},
	} {
		if err := t.insert(ctx, rows.into, rows.args); err != nil {
			return err
		}
	}
	if err := r.sums.write(ctx, t); err != nil {
		return err
	}
	return t.reviseShards(ctx, r.shards)
}

// addCertificate adds the rows and counts of a newly issued certificate.
func (r *batchRows) addCertificate(c *telamon.Certificate, blob Blob, terms []int64) {
	r.certs = appendCertificate(r.certs, c)
	r.terms = appendTerms(r.terms, c, terms)
	r.ders = append(r.ders, c.Serial[:], c.NotAfter.UnixMilli(), blob.DER, blob.Request)
	if blob.Evidence != nil {
		r.evidence = append(r.evidence, c.Serial[:], blob.Evidence)
	}
	if by := blob.Requester; by != nil {
		r.requesters = append(r.requesters, c.Serial[:], by.User.String(), by.Name, by.Agreement)
	}
	r.sums.add(
		count{c.Pair, countIssued, c.AcceptedAt.Unix(), 1},
		count{c.Pair, countExpiring, c.NotAfter.Unix(), 1},
	)
}

// add adds the rows of a unit: all of them, or its refusal.
func (r *batchRows) add(u *unit) (err error) {
	if u.refused != nil {
		refusal := u.event
		refusal.Result, refusal.Before, refusal.After = fault.From(u.refused).Code, nil, nil
		leaf, err := encodeEvent(refusal)
		if err != nil {
			return err
		}
		r.events, err = appendEvent(r.events, &refusal, leaf)
		r.activity = appendActivity(r.activity, &refusal)
		return err
	}
	if u.cert != nil {
		r.addCertificate(u.cert, u.blob, u.terms)
	}
	r.sums.add(u.counts...)
	for _, key := range u.shards {
		if r.shards == nil {
			r.shards = map[shardKey]bool{}
		}
		r.shards[key] = true
	}
	r.events, err = appendEvent(r.events, &u.event, u.leaf)
	r.activity = appendActivity(r.activity, &u.event)
	return err
}
