package diagnose

// stuck, dying and lingering are the other families' rules.
var stuck, dying, lingering []Rule
