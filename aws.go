package saba

import "slices"

// An AWSIntegration is the setting of an integration with an account of AWS. saba keeps it and gives it
// back; it asks no account. The JSON keys are the protocol's, and part of the schema in which it is kept.
type AWSIntegration struct {
	ID           string                `json:"id"`
	Name         string                `json:"name"`
	Memo         string                `json:"memo"`
	Key          *string               `json:"key"`
	SecretKey    *string               `json:"-"` // kept, and never shown
	RoleARN      *string               `json:"roleArn"`
	ExternalID   *string               `json:"externalId"`
	Region       string                `json:"region"`
	IncludedTags string                `json:"includedTags"` // with commas between them
	ExcludedTags string                `json:"excludedTags"`
	Services     map[string]AWSService `json:"services"` // by the names of AWSServices
}

// An AWSService is how one service of AWS is integrated: either all metrics but some, or some alone.
type AWSService struct {
	Enable              bool      `json:"enable"`
	Role                *string   `json:"role"` // "service: role" that its hosts get
	ExcludedMetrics     *[]string `json:"excludedMetrics,omitzero"`
	IncludedMetrics     *[]string `json:"includedMetrics,omitzero"`
	RetireAutomatically *bool     `json:"retireAutomatically,omitzero"`
}

// AWSServices lists the services of AWS that the protocol names.
var AWSServices = []string{
	"EC2", "ELB", "ALB", "NLB", "RDS", "Redshift", "ElastiCache", "SQS", "Lambda", "DynamoDB", "CloudFront", "APIGateway", "Kinesis", "S3", "ES",
	"ECSCluster", "SES", "States", "EFS", "Firehose", "Batch", "WAF", "Billing", "Route53", "Connect", "DocDB", "CodeBuild", "Athena",
}

// Check checks an integration field by field. The error is a FieldError.
func (a *AWSIntegration) Check() error {
	if err := firstError(
		checkLine("name", a.Name, 1, MaxObjectName), checkText("memo", a.Memo, MaxObjectMemo), checkLine("region", a.Region, 0, MaxObjectName),
		checkLine("includedTags", a.IncludedTags, 0, maxMonitorText), checkLine("excludedTags", a.ExcludedTags, 0, maxMonitorText),
	); err != nil {
		return err
	}
	for field, v := range map[string]*string{"key": a.Key, "secretKey": a.SecretKey, "roleArn": a.RoleARN, "externalId": a.ExternalID} {
		if v == nil {
			continue
		}
		if err := checkLine(field, *v, 0, maxURL); err != nil {
			return err
		}
	}
	for name, s := range a.Services {
		if !slices.Contains(AWSServices, name) {
			return Invalidf("services."+short(name), "is no service of AWS that this call knows")
		}
		at := "services." + name
		if s.ExcludedMetrics != nil && s.IncludedMetrics != nil {
			return Invalidf(at, "must have excludedMetrics or includedMetrics, not both")
		}
		if s.Role != nil && *s.Role != "" {
			if r, err := ParseScope(*s.Role); err != nil || r.Role == "" {
				return Invalidf(at+".role", "must be a role (service:role) or null, not %q", short(*s.Role))
			}
		}
	}
	return nil
}
