// Package s3 downloads one object of S3. It is a package, and a program (cmd/saba-agent-s3), of its own since AWS's client costs every process that holds it 3 MiB of memory
// and 3.5 MiB of disk, used or not: internal/location runs that program.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/saba-monitor/saba"
)

// timeout bounds a download with all that goes before it: credentials come from another service.
const timeout = 25 * time.Second

// startRegion is where a bucket is asked about whose region nobody knows.
const startRegion = "ap-northeast-1"

// Copy writes the object at s3://BUCKET/KEY to w, with the credentials that the environment, its files or the platform have for the process, from the region that
// the bucket is in. AWS_ENDPOINT_URL_S3 names another service of the same protocol, as it does for the programs of AWS. The error matches saba.ErrInvalid when
// location is none, and fs.ErrNotExist when there is nothing there.
func Copy(ctx context.Context, w io.Writer, location string) error {
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "s3" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return saba.Errorf(saba.ErrInvalid, "%s names no object: it looks like s3://BUCKET/KEY", location)
	}
	bucket, key := u.Host, strings.TrimPrefix(u.Path, "/")
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("%s: the configuration of AWS: %w", location, err)
	}
	if c.Region == "" {
		c.Region = startRegion
	}
	// A service of one's own has no names for its buckets.
	client := func() *s3.Client {
		return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	}
	region, err := manager.GetBucketRegion(ctx, client(), bucket)
	switch _, missing := errors.AsType[manager.BucketNotFound](err); {
	case missing:
		return fmt.Errorf("%s: there is no such bucket: %w", location, fs.ErrNotExist)
	case err == nil && region != "":
		c.Region = region
	} // else the object is asked for where we are: some may read it and not ask about the bucket
	out, err := client().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if _, missing := errors.AsType[*types.NoSuchKey](err); missing {
		return fmt.Errorf("%s: there is no such object: %w", location, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	defer out.Body.Close()
	if _, err := io.Copy(w, out.Body); err != nil {
		return fmt.Errorf("%s is cut short: %w", location, err)
	}
	return nil
}
