// Keys, and pages that stay up to date. Every page is whole without it.
'use strict'

{
  const dialog = document.getElementById('keys')
  const shown = document.getElementById('keys-button')
  const off = 'keys-off'
  const isOff = () => localStorage.getItem(off) !== null
  const writes = (element) => element.closest('input, textarea, select, [contenteditable]') !== null
  let going

  const search = () => {
    const field = document.querySelector('main [role=search] input, main input[name=q]')
    if (field) { field.focus(); field.select() } else location.assign('/tasks#q')
  }

  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isOff() || writes(event.target) || dialog.open) return
    const link = going && document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`)
    clearTimeout(going)
    going = undefined
    if (link) link.click()
    else if (event.key === 'g') going = setTimeout(() => { going = undefined }, 2000)
    else if (event.key === '/') search()
    else if (event.key === '?') dialog.showModal()
    else return
    event.preventDefault()
  }

  if (dialog) {
    const turn = document.getElementById('keys-switch')
    const name = () => { turn.textContent = isOff() ? 'Turn the keys on' : 'Turn the keys off' }
    turn.addEventListener('click', () => {
      if (isOff()) localStorage.removeItem(off)
      else localStorage.setItem(off, '')
      name()
    })
    name()
    shown.hidden = false
    shown.addEventListener('click', () => dialog.showModal())
    document.addEventListener('keydown', pressed)
    if (location.hash === '#q') search()
  }
}

{
  const main = document.querySelector('main[data-live]')
  const light = document.getElementById('live')
  const RETRY = 30_000
  let source, waiting, told, pressed = false

  const written = (field) => field.type === 'checkbox' || field.type === 'radio'
    ? field.checked !== field.defaultChecked
    : field.tagName === 'SELECT'
      ? field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected))
      : field.value !== field.defaultValue

  // Nothing changes under somebody's hands.
  const busy = () => {
    const selection = getSelection()
    const fields = [...main.querySelectorAll('input, select, textarea')]
    return pressed || fields.some((field) => field === document.activeElement || written(field)) ||
      (!selection.isCollapsed && main.contains(selection.anchorNode)) ||
      [...main.querySelectorAll('audio, video')].some((media) => !media.paused)
  }

  const take = () => {
    clearTimeout(waiting)
    if (busy()) { waiting = setTimeout(take, 1000); return }
    const page = new DOMParser().parseFromString(told, 'text/html')
    const fresh = page.querySelector('main')
    if (!fresh) return
    const all = (selector) => [...main.querySelectorAll(selector)]
    const focusable = 'a[href], button, summary, [tabindex]'
    const focused = all(focusable).indexOf(document.activeElement)
    const open = all('details').map((details) => details.open)
    const across = all('.wide').map((table) => table.scrollLeft)
    main.replaceChildren(...fresh.childNodes)
    document.title = page.title
    all('details').forEach((details, index) => { details.open = open[index] ?? details.open })
    all('.wide').forEach((table, index) => { table.scrollLeft = across[index] ?? 0 })
    all(focusable)[focused]?.focus({ preventScroll: true })
    main.dataset.taken = Number(main.dataset.taken ?? 0) + 1
  }

  // What is here is not there any more, or not for them; but what somebody is writing stays until they are done.
  const leave = () => {
    if (!busy()) { location.reload(); return }
    say('○ not live')
    setTimeout(leave, 1000)
  }

  const say = (words) => { light.textContent = words; light.hidden = false }

  const stop = () => { source?.close(); source = undefined }

  const follow = () => {
    if (source || document.hidden) return
    source = new EventSource(`/live?of=${encodeURIComponent(main.dataset.live)}`)
    source.addEventListener('open', () => say('● live'))
    source.addEventListener('page', (event) => { told = event.data; take() })
    source.addEventListener('over', () => { stop(); leave() })
    source.addEventListener('error', () => {
      say('○ not live')
      if (source?.readyState === EventSource.CLOSED) { stop(); setTimeout(follow, RETRY) }
    })
  }

  // Browsers open few connections to one host: tabs that nobody looks at leave theirs to others.
  if (main) {
    // A button that is replaced between press and release is never clicked.
    addEventListener('pointerdown', () => { pressed = true }, true)
    for (const end of ['pointerup', 'pointercancel', 'dragend']) {
      addEventListener(end, () => setTimeout(() => { pressed = false }), true)
    }
    document.addEventListener('visibilitychange', () => { if (document.hidden) stop(); else follow() })
    addEventListener('pagehide', stop)
    addEventListener('pageshow', follow)
  }
}
