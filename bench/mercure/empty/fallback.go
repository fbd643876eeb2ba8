// Package fallback stands in for the certificates of browsers, which this server never needs.
package fallback
