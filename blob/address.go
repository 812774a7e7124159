package blob

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ParseS3 reads s3://bucket/prefix?endpoint=host:port&region=...&path_style=true&insecure=true.
// An endpoint other than Amazon's is asked in path style unless path_style=false says otherwise:
// what people run themselves seldom has a name for each bucket.
func ParseS3(address string) (S3Config, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return S3Config{}, errors.New("it is not s3://bucket/prefix?endpoint=host:port")
	}
	if u.User != nil {
		return S3Config{}, errors.New("keys do not belong into the address; set EASEL_S3_ACCESS_KEY and EASEL_S3_SECRET_KEY")
	}
	c := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if strings.Contains(c.Prefix, "//") {
		return S3Config{}, fmt.Errorf("the prefix %q has an empty part", c.Prefix)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return S3Config{}, errors.New("what follows the question mark cannot be read")
	}
	for name, values := range query {
		if len(values) != 1 {
			return S3Config{}, fmt.Errorf("%s is given twice", name)
		}
		value := values[0]
		switch name {
		case "endpoint":
			c.Endpoint = value
			if strings.ContainsAny(value, "/@ ") {
				return S3Config{}, fmt.Errorf("endpoint %q is not a host or host:port; insecure=true chooses plain HTTP", value)
			}
		case "region":
			c.Region = value
		case "path_style", "insecure":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return S3Config{}, fmt.Errorf("%s=%s is neither true nor false", name, value)
			}
			if name == "insecure" {
				c.Insecure = on
			} else {
				c.PathStyle = on
			}
		default:
			return S3Config{}, fmt.Errorf("%s is unknown; there are endpoint, region, path_style and insecure", name)
		}
	}
	if !query.Has("path_style") {
		c.PathStyle = c.Endpoint != "" && !strings.HasSuffix(c.Endpoint, ".amazonaws.com")
	}
	return c, nil
}
