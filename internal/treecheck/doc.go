// Package treecheck holds the repository to its own rules: the ranks of imports,
// comments, fuzz corpora, links between documents, forbidden words, generated
// files and sizes. It has no code, only tests that read the tree from its root.
//
// The rules are those of DESIGN.md and of the house style; each test says
// which one it holds, and what to do about a finding. Nothing here looks at what
// the code does.
package treecheck
