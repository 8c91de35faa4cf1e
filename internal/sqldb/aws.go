package sqldb

import (
	"context"
	"database/sql"

	"github.com/saba-monitor/saba"
)

var awsIntegrations = shelfOf[saba.AWSIntegration]{"aws_integrations", "AWS integration", 100}

// AWSIntegrations returns the integrations of an organization, oldest first. Secrets stay in the database.
func (db *DB) AWSIntegrations(ctx context.Context, org string) ([]saba.AWSIntegration, error) {
	return allOf(ctx, db, awsIntegrations, org)
}

// AWSIntegration returns the integration with an id, without its secret.
func (db *DB) AWSIntegration(ctx context.Context, org, id string) (saba.AWSIntegration, error) {
	return oneOf(ctx, db, awsIntegrations, org, id)
}

// CreateAWSIntegration keeps a new integration, whose ID the caller chose. A taken name is an error matching saba.ErrConflict.
func (db *DB) CreateAWSIntegration(ctx context.Context, org string, a saba.AWSIntegration) error {
	return awsTaken(a, db.change(ctx, "create an AWS integration", func(tx *sql.Tx) error {
		return awsIntegrations.insert(ctx, tx, org, a.ID, a, "name, secret_key", a.Name, a.SecretKey)
	}))
}

// UpdateAWSIntegration replaces an integration by what change makes of it, and returns that. A SecretKey of nil keeps the
// secret, an empty one clears it.
func (db *DB) UpdateAWSIntegration(ctx context.Context, org, id string, change func(old saba.AWSIntegration) (saba.AWSIntegration, error)) (saba.AWSIntegration, error) {
	a, err := updateOne(ctx, db, awsIntegrations, org, id, change, "name", func(tx *sql.Tx, a saba.AWSIntegration) ([]any, error) {
		if a.SecretKey == nil {
			return []any{a.Name}, nil
		}
		_, err := tx.ExecContext(ctx, `UPDATE aws_integrations SET secret_key = ? WHERE org = ? AND id = ?`, *a.SecretKey, org, id)
		return []any{a.Name}, err
	})
	return a, awsTaken(a, err)
}

// DeleteAWSIntegration deletes an integration and returns it as it was.
func (db *DB) DeleteAWSIntegration(ctx context.Context, org, id string) (a saba.AWSIntegration, err error) {
	err = db.change(ctx, "delete an AWS integration", func(tx *sql.Tx) error {
		a, err = awsIntegrations.remove(ctx, tx, org, id)
		return err
	})
	return a, err
}

func awsTaken(a saba.AWSIntegration, err error) error {
	if isTaken(err) {
		return saba.Errorf(saba.ErrConflict, "there is an AWS integration %q already", a.Name)
	}
	return err
}
