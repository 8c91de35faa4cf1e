package saba

// Distance returns how many characters must be inserted, deleted or replaced to turn a into b
// (Levenshtein). It is how a mistyped name finds the one that was meant.
func Distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	// row[j] is the distance between the part of from seen so far and to[:j].
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, c := range from {
		diagonal := row[0] // row[j-1] of the line before
		row[0] = i + 1
		for j, d := range to {
			cost := 1
			if c == d {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(to)]
}
