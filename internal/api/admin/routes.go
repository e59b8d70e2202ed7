package admin

import (
	"context"
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// A parser reads an ID of the path.
type parser[ID any] func(string) (ID, error)

// object reads the account and the ID of an object of it in the path.
func object[ID any](ctx context.Context, c *call, name string, parse parser[ID]) (telamon.AccountID, ID, error) {
	var none ID
	account, err := c.accountID(ctx)
	if err != nil {
		return "", none, err
	}
	value, err := id(c, name, parse)
	return account, value, err
}

// listRoute serves a pattern with a part of a list of the platform's objects.
func listRoute[T, W any](s *server, pattern string, list func(context.Context, telamon.Actor, store.Page) ([]T, error),
	wire func(T) W, id func(T) string) {
	s.route(pattern, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		page, err := c.page()
		if err != nil {
			return nil, err
		}
		rows, err := list(ctx, c.actor, page)
		return listOf(rows, page, wire, id), err
	})
}

// accountListRoute is listRoute for the objects of the account in the path.
func accountListRoute[T, W any](s *server, pattern string,
	list func(context.Context, telamon.Actor, telamon.AccountID, store.Page) ([]T, error), wire func(T) W, id func(T) string) {
	s.route(pattern, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		account, err := c.accountID(ctx)
		if err != nil {
			return nil, err
		}
		page, err := c.page()
		if err != nil {
			return nil, err
		}
		rows, err := list(ctx, c.actor, account, page)
		return listOf(rows, page, wire, id), err
	})
}

// accountPostRoute serves a pattern with a use case that makes something in the
// account in the path, of a body.
func accountPostRoute[In any](s *server, pattern string, do func(context.Context, *call, telamon.AccountID, *In) (any, error)) {
	s.route(pattern, http.StatusCreated, func(ctx context.Context, c *call) (any, error) {
		account, err := c.accountID(ctx)
		if err != nil {
			return nil, err
		}
		in := new(In)
		if err := c.body(in); err != nil {
			return nil, err
		}
		return do(ctx, c, account, in)
	})
}

// objectRoute serves a pattern with an object of the account in the path.
func objectRoute[ID, T, W any](s *server, pattern, name string, parse parser[ID],
	find func(context.Context, telamon.Actor, telamon.AccountID, ID) (T, error), wire func(T) W) {
	s.route(pattern, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		account, value, err := object(ctx, c, name, parse)
		if err != nil {
			return nil, err
		}
		found, err := find(ctx, c.actor, account, value)
		return wire(found), err
	})
}

// actionRoute serves a pattern with a change of state of an object.
func actionRoute[ID any](s *server, pattern, name string, parse parser[ID],
	do func(context.Context, telamon.Actor, telamon.AccountID, ID) error) {
	s.route(pattern, http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		account, value, err := object(ctx, c, name, parse)
		if err != nil {
			return nil, err
		}
		return nil, do(ctx, c.actor, account, value)
	})
}

// changeRoute serves a pattern with a change of an object that a body describes.
func changeRoute[ID, In any](s *server, pattern, name string, parse parser[ID],
	do func(context.Context, *call, telamon.AccountID, ID, *In) error) {
	s.route(pattern, http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		account, value, err := object(ctx, c, name, parse)
		if err != nil {
			return nil, err
		}
		in := new(In)
		if err := c.body(in); err != nil {
			return nil, err
		}
		return nil, do(ctx, c, account, value, in)
	})
}

// made is what a use case answers that made something, or its error.
func made[T, W any](object *T, err error, wire func(T) W) (any, error) {
	if err != nil {
		return nil, err
	}
	return wire(*object), nil
}
