package api

// LossScale says how much each piece of a conversation counts in the loss.
// Several are chained with +: each splits the pieces of the one before, and
// their weights multiply.
//
// Weigh may be called from several goroutines at a time.
type LossScale interface {
	// Weigh splits one segment into pieces. Their texts, joined, must be the
	// segment's text.
	Weigh(s Segment) []Piece
}

// Strategy is an optional interface of a LossScale that decides by itself which
// segments are trained on. A chain that does not begin with a Strategy begins
// with the built-in one "default", which trains on responses and the ends of
// their turns; so a scale that is not a Strategy sees to weights only.
type Strategy interface {
	LossScale
	Strategy()
}

// Segment is a stretch of the rendered conversation with one author.
type Segment struct {
	Text      string
	Role      Role
	Query     string // the user's message or tool's answer before a Response, else ""
	LastRound bool   // whether it comes after the last message of the user
}

// Role is the author of a segment.
type Role int

// The authors of segments.
const (
	System   Role = iota
	User          // a query or a tool's answer, and the template text around it
	Response      // an assistant's message
	Suffix        // the template text that ends an assistant's turn
)

// Piece is part of a segment and its weight; 0 is not trained on.
type Piece struct {
	Text   string
	Weight float64
}

// Weigh returns the whole segment as one piece.
func (s Segment) Weigh(w float64) []Piece { return []Piece{{s.Text, w}} }
