package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func (t *txn) insertVerification(ctx context.Context, v *telamon.Verification) error {
	evidence, err := json.Marshal(v.Evidence)
	if err != nil {
		return fmt.Errorf("encode the evidence of %s: %w", v.ID, err)
	}
	err = t.InsertVerification(ctx, queries.InsertVerificationParams{
		ID: v.ID.String(), ClaimID: v.Claim.String(), AccountID: v.Account.String(), IdentityID: v.Identity.String(),
		Kind: string(v.Kind), Name: v.Name, Adn: v.ADN, Method: string(v.Method), Coverage: string(v.Coverage),
		At: v.At.UnixMilli(), TokenAt: v.TokenAt.UnixMilli(), Evidence: string(evidence),
	})
	if err != nil {
		return fmt.Errorf("insert verification %s: %w", v.ID, err)
	}
	return nil
}

// Verifications returns the records of validations, of whatever account, in the order
// of ids. It reports NotFound.
func (db *DB) Verifications(ctx context.Context, ids []telamon.VerificationID) ([]telamon.Verification, error) {
	found := make(map[telamon.VerificationID]telamon.Verification, len(ids))
	for chunk := range slices.Chunk(ids, listChunk) {
		err := readListed(ctx, db, "SELECT id, claim_id, account_id, identity_id, kind, name, adn, method, coverage, at, token_at, evidence"+
			" FROM verification WHERE id IN (", chunk, ")", func(scan func(...any) error) error {
			var r queries.Verification
			err := scan(&r.ID, &r.ClaimID, &r.AccountID, &r.IdentityID, &r.Kind, &r.Name, &r.Adn, &r.Method, &r.Coverage, &r.At, &r.TokenAt, &r.Evidence)
			if err != nil {
				return err
			}
			v, err := verificationOf(r)
			found[v.ID] = v
			return err
		})
		if err != nil {
			return nil, db.judge(ctx, fmt.Errorf("read verifications: %w", err))
		}
	}
	records := make([]telamon.Verification, len(ids))
	for i, id := range ids {
		v, ok := found[id]
		if !ok {
			return nil, fault.New(fault.NotFound, "verification_not_found", "There is no such verification.")
		}
		records[i] = v
	}
	return records, nil
}

func verificationOf(r queries.Verification) (telamon.Verification, error) {
	v := telamon.Verification{
		ID: telamon.VerificationID(r.ID), Claim: telamon.ClaimID(r.ClaimID), Account: telamon.AccountID(r.AccountID),
		Identity: telamon.IdentityID(r.IdentityID), Kind: telamon.ClaimKind(r.Kind), Name: r.Name, ADN: r.Adn,
		Method: telamon.Method(r.Method), Coverage: telamon.Coverage(r.Coverage), At: timeOf(r.At), TokenAt: timeOf(r.TokenAt),
	}
	if err := json.Unmarshal([]byte(r.Evidence), &v.Evidence); err != nil {
		return v, fmt.Errorf("read the evidence of %s: %w", r.ID, err)
	}
	return v, nil
}

// CertificateNames is how the names of a certificate were validated.
type CertificateNames struct {
	Certificate telamon.Certificate
	Account     telamon.AccountID
	Names       []telamon.NameEvidence // none if the service demanded no validation
}

// CertificateEvidence returns a certificate of whatever account, and how its names
// were validated. It reports NotFound.
func (db *DB) CertificateEvidence(ctx context.Context, serial telamon.Serial) (*CertificateNames, error) {
	kept := &CertificateNames{}
	err := db.view(ctx, func(q *queries.Queries) error {
		row, err := q.CertificateBySerial(ctx, serial[:])
		if err != nil {
			return found(err, "certificate_not_found", "certificate")
		}
		kept.Account = telamon.AccountID(row.AccountID)
		kept.Certificate = *certificateOf(queries.Certificate{
			Serial: row.Serial, PairID: row.PairID, CredentialID: row.CredentialID, IssuerID: row.IssuerID,
			PolicyVersion: row.PolicyVersion, CrlShard: row.CrlShard, SpkiHash: row.SpkiHash, NotBefore: row.NotBefore,
			NotAfter: row.NotAfter, AcceptedAt: row.AcceptedAt, RekeyOf: row.RekeyOf, Status: row.Status, UpdatedAt: row.UpdatedAt,
			RevokedAt: row.RevokedAt, Reason: row.Reason, CompromisedAt: row.CompromisedAt, Attested: row.Attested,
		})
		names, err := q.CertificateEvidence(ctx, serial[:])
		if err != nil {
			if err = found(err, "evidence_not_found", "evidence"); fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		}
		return json.Unmarshal(names, &kept.Names)
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the evidence of certificate %s: %w", serial, err))
	}
	return kept, nil
}
