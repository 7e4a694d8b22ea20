package lab

// asking are the cases of a client's first words that are not answered, each for as long
// as Options.Hold takes, and of a client whose words need no answer.
var asking = []Scenario{
	{
		Name: "request-unaccepted", Port: 7767, act: requestUnaccepted,
		About: "a first request, and nobody accepts",
		Story: timelyStory(),
		Verdicts: Verdicts{ // the client may have said what needs no answer
			Server: probably("slow-application", InApplication),
			Both:   probably("slow-application", InApplication),
			Held:   true,
		},
	},
	{
		Name: "request-unread", Port: 7768, act: requestUnread,
		About: "a first request, accepted and never read",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Server: probably("slow-application", InApplication),
			Both:   probably("slow-application", InApplication),
			Held:   true,
		},
	},
	{
		Name: "request-ignored", Port: 7769, act: requestIgnored,
		About:    "a first request is not answered, another is",
		Story:    timelyStory(),
		Verdicts: everywhere(probably("slow-application", InApplication)).held(),
	},
	{
		Name: "greeting-only", Port: 7770, act: greetingOnly,
		About:    "a server greets, and answers nothing",
		Story:    timelyStory(),
		Verdicts: everywhere(probably("slow-application", InApplication)).held(),
	},
	{
		Name: "sink", Port: 7788, act: sink,
		About:    "a server that only reads; its client pauses",
		Story:    timelyStory(),
		Verdicts: Verdicts{Held: true, Silent: true},
	},
}

// asks has the client ask, and its bytes acknowledged: by the server's kernel.
func (r *run) asks() {
	r.send(r.clientPeer, requestSize)
	r.acknowledged(r.client)
}

// givesUp has the client close, and the server read what there is and close.
func (r *run) givesUp(unread int) {
	r.close(r.clientPeer)
	if unread > 0 {
		r.receive(r.serverPeer, unread)
	}
	r.try(func() error { return expectEnd(r.serverPeer.Receive(r.ctx, conn, 1)) })
	r.close(r.serverPeer)
}

func requestUnaccepted(r *run) {
	r.listen()
	r.connect()
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.asks()
	r.stand()
	r.try(func() error { return r.serverPeer.Accept(r.ctx, listener, conn) })
	r.givesUp(requestSize)
}

func requestUnread(r *run) {
	r.establish()
	r.asks()
	r.stand()
	r.givesUp(requestSize)
}

// requestIgnored: nobody has seen this server answer when it is asked first.
func requestIgnored(r *run) {
	const second = "second"
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.tell("another connection's request is answered")
	r.try(func() error { _, err := r.clientPeer.Connect(r.ctx, second, r.target()); return err })
	r.try(func() error { return r.serverPeer.Accept(r.ctx, listener, second) })
	r.try(func() error { return r.clientPeer.Send(r.ctx, second, 1, requestSize) })
	r.try(func() error { return r.serverPeer.Receive(r.ctx, second, requestSize) })
	r.try(func() error { return r.serverPeer.Send(r.ctx, second, 1, responseSize) })
	r.try(func() error { return r.clientPeer.Receive(r.ctx, second, responseSize) })
	r.try(func() error { return r.clientPeer.CloseSocket(r.ctx, second) })
	r.try(func() error { return expectEnd(r.serverPeer.Receive(r.ctx, second, 1)) })
	r.try(func() error { return r.serverPeer.CloseSocket(r.ctx, second) })
	r.stand()
	r.givesUp(0)
}

func greetingOnly(r *run) {
	r.establish()
	r.delivers(r.serverPeer, r.clientPeer, responseSize)
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.stand()
	r.givesUp(0)
}

func sink(r *run) {
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.stand()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.givesUp(0)
}
