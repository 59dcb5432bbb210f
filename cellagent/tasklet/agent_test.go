package tasklet

func testAgent([]string) int { return 0 }
