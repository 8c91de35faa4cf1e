// Package scenario tells stories of the whole system: samples and reports go in, time passes, and people are told or not. The
// stories are in testdata, one file per subject, and run on the real engines with real receivers of messages, in a time of
// their own. The package holds nothing else.
package scenario
