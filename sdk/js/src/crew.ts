// All tabs of a browser that read one stream: who of them leads, and what they say to each other. A Web Lock has one holder at
// a time and passes on when its tab is gone, however it went; a BroadcastChannel carries the words. A SharedWorker would need
// neither, but it has a file of its own to be loaded from the page's origin, Chrome for Android had none for years, and nothing
// tells it that a tab is gone.

export interface CrewListener {
  /** This tab can be mourned, and may speak. */
  _ready(): void;
  _word(word: any): void;
  /** This tab leads from now on. */
  _lead(): void;
  /** This tab led, and another has taken over. */
  _demoted(): void;
}

/** Web Locks exist in secure contexts only: https, and loopback. */
export function canShare(): boolean {
  return !!self.BroadcastChannel && !!navigator.locks;
}

export class Crew {
  readonly _tab = Math.random().toString(36).slice(2);
  _isReady: boolean | undefined;
  private _channel: BroadcastChannel;
  private _abort = new AbortController();
  private _releases: (() => void)[] = [];

  constructor(
    private _name: string,
    private _on: CrewListener,
  ) {
    this._channel = new BroadcastChannel(_name);
    this._channel.onmessage = (event) => _on._word(event.data);
    // Held for as long as this tab lives: whoever waits for it learns of the end.
    this._mourn(this._tab, () => {
      this._isReady = true;
      _on._ready();
    });
    this._claim(false);
  }

  _say(word: object): void {
    this._channel.postMessage(word);
  }

  /** Asks to lead: in turn, or at once, where the leader does not answer or has asked for it. */
  _claim(steals: boolean): void {
    let led = false;
    const lead = () => {
      led = true;
      this._on._lead();
    };
    this._hold(this._name, steals, lead, () => {
      // Another has stolen it. Who stole it before still stands in line as well.
      if (!led || this._abort.signal.aborted) return;
      this._on._demoted();
      if (!steals) this._claim(false);
    });
  }

  /** Tells when that tab is gone, were it by a crash. */
  _mourn(tab: string, then: () => void): void {
    this._hold(this._name + tab, false, then, () => {});
  }

  _leave(): void {
    this._abort.abort();
    this._channel.close();
    for (const release of this._releases) release();
  }

  /** Holds a lock, once it is free, until this tab leaves; `lost` if it is stolen, or the tab leaves before. */
  private _hold(name: string, steals: boolean, then: () => void, lost: () => void): void {
    const { signal } = this._abort;
    const hold = () =>
      new Promise<void>((release) => {
        this._releases.push(release);
        if (signal.aborted) release();
        else then();
      });
    // A request that steals is not waited for, so it takes no signal (Web Locks).
    navigator.locks.request(name, steals ? { steal: true } : { signal }, hold).catch(lost);
  }
}

export function newCrew(name: string, on: CrewListener): Crew | undefined {
  return new Crew(name, on);
}
