package ct

// ParseAnswer is parseAnswer.
var ParseAnswer = parseAnswer
