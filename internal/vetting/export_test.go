package vetting

// MediaTypeOf returns the type of a file, "" for what is not kept.
var MediaTypeOf = mediaTypeOf

// FileName returns the name under which a file is kept.
var FileName = fileName
