// Package server is the api services as HTTP: one table of routes (routes.go), one file a
// service, and around every route the same steps, in this order:
//
//	request id, panic guard, index and leader headers   exchange.go
//	room for one more request, or overloaded            limit.go
//	who asks, and may that role ask this                access.go
//	the body, bounded in size and time                  body.go
//	here, or at the leader                              forward.go
//	the service                                         providers.go, leases.go, ...
//
// Typed routes are registered with huma, which checks parameters and bodies against the
// schemas that the OpenAPI document shows. Streams and blobs are plain handlers with a
// description. Whatever goes wrong is an RFC 9457 problem document with a kind of api, also
// for a path or a method that does not exist.
package server
